# SPDX-License-Identifier: Apache-2.0
# bash completion for cubar-link(8)
_cubar_link() {
    local current=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --root) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "make remove --root --help --version" -- "$current") ;;
    esac
}
complete -o filenames -F _cubar_link cubar-link
