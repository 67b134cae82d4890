# SPDX-License-Identifier: Apache-2.0
# bash completion for cubar-doctor(8)
_cubar_doctor() {
    local current=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --library) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    --root) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "--json --library --root --help --version" -- "$current") ;;
    esac
}
complete -o filenames -F _cubar_doctor cubar-doctor
