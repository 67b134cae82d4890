# SPDX-License-Identifier: Apache-2.0
# bash completion for cubar-run(1)
_cubar_run() {
    local current=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --gpu) mapfile -t COMPREPLY < <(compgen -W "auto soft nvidia null" -- "$current") ;;
    --fences) mapfile -t COMPREPLY < <(compgen -W "on off" -- "$current") ;;
    --memory | --bar | --channels | --sessions) COMPREPLY=() ;;
    --driver) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    --cache) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *)
        if [[ $current == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "--gpu --memory --bar --channels --sessions --driver
                --fences --cache --help --version" -- "$current")
        else
            mapfile -t COMPREPLY < <(compgen -c -f -- "$current")
        fi
        ;;
    esac
}
complete -o filenames -F _cubar_run cubar-run
