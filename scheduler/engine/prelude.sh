# What every program begins with. Bundles lie in the work folder, one folder each; nothing outside it is touched.
umask 077
LC_ALL=C
export LC_ALL
tab=$(printf '\t')
die() { printf '%s\n' "$*" >&2; exit 70; }

# One temporary folder, gone at the end whatever happens.
make_scratch() {
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/scheduler.XXXXXX") || die "cannot make a temporary folder in ${TMPDIR:-/tmp}"
  trap 'rm -rf "$scratch"' EXIT
}

# What tells a process from a later one with the same number: when the machine and the process began.
born() {
  if [ -r "/proc/$1/stat" ]; then
    printf '%s.%s' "$(cat /proc/sys/kernel/random/boot_id)" "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr -c 'A-Za-z0-9:\n' '.'
  fi
}
# Is the process that wrote "pid:born" still there?
alive() {
  [ -n "$1" ] && kill -0 "${1%%:*}" 2>/dev/null && [ "$(born "${1%%:*}")" = "${1#*:}" ]
}

# A batch system's commands are on PATH for login shells only on some machines.
find_command() {
  command -v "$1" >/dev/null 2>&1 && return
  # shellcheck disable=SC1091
  [ ! -r /etc/profile ] || . /etc/profile >/dev/null 2>&1 || :
  command -v "$1" >/dev/null 2>&1 || return 127
}

# Lists the numbers of an expression such as 0-3,7 or 1-9:2%4, one a line, as awk's own function.
# shellcheck disable=SC2034
awk_numbers='function numbers(text, into,   part, n, i, ends, step, from) {
  sub(/%.*/, "", text); gsub(/[][]/, "", text); n = split(text, part, ",")
  for (i = 1; i <= n; i++) {
    step = 1; if (part[i] ~ /:/) { step = part[i]; sub(/.*:/, "", step); sub(/:.*/, "", part[i]) }
    split(part[i], ends, "-"); from = ends[1] + 0
    if (part[i] !~ /-/) ends[2] = from
    for (; from <= ends[2] + 0; from += step) into[from] = 1
  }
}'
