# An exported SHELLOPTS or BASHOPTS sets options of the bash that runs a job's script. They would end it early.
set +aefuC
# shellcheck disable=SC3040
! (set +o pipefail) 2>/dev/null || set +o pipefail
# shellcheck disable=SC3044
! command -v shopt >/dev/null 2>&1 || shopt -u nullglob failglob dotglob nocaseglob nocasematch xpg_echo 2>/dev/null
