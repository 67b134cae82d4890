# SPDX-License-Identifier: Apache-2.0
# bash completion for cubar-smi(8)
_cubar_smi() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} before=
    # bash takes the = of an option for a word of its own.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
    --query-gpu)
        [[ $current == *,* ]] && before=${current%,*},
        mapfile -t COMPREPLY < <(compgen -P "$before" -W "$(cubar-smi --help-query-gpu 2>/dev/null)" \
            -- "${current##*,}")
        compopt -o nospace
        ;;
    --format)
        mapfile -t COMPREPLY < <(compgen -W "csv csv,noheader csv,nounits csv,noheader,nounits" -- "$current")
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W "-L --list-gpus --json --query-gpu= --format=
            --help-query-gpu --help --version" -- "$current")
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        ;;
    esac
}
complete -F _cubar_smi cubar-smi
