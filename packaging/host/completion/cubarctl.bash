# SPDX-License-Identifier: Apache-2.0
# bash completion for cubarctl(8)
_cubarctl() {
    local current=${COMP_WORDS[COMP_CWORD]} words=
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
    reset | sessions) words=$(cubarctl vms 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
    kill) words=$(cubarctl sessions 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
    *) words="vms sessions usage kill reset --socket --json --help --version" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _cubarctl cubarctl
