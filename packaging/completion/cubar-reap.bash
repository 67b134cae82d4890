# SPDX-License-Identifier: Apache-2.0
# bash completion for cubar-reap(8)
_cubar_reap() {
    mapfile -t COMPREPLY < <(compgen -W "--help --version" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -F _cubar_reap cubar-reap
