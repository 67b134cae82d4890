# SPDX-License-Identifier: Apache-2.0
# bash completion for cubard(8)
_cubard() {
    local current=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --config | --driver | --worker | --local) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    --gpu) mapfile -t COMPREPLY < <(compgen -W "auto soft nvidia null" -- "$current") ;;
    --fences) mapfile -t COMPREPLY < <(compgen -W "on off" -- "$current") ;;
    --cache) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    --bar | --channels | --sessions | --memory) COMPREPLY=() ;;
    *) mapfile -t COMPREPLY < <(compgen -W "--config --check --gpu --driver --fences --worker --local
        --bar --channels --sessions --memory --cache --remove-directory --help --version" -- "$current") ;;
    esac
}
complete -o filenames -F _cubard cubard
