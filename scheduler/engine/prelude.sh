# What every program has after its environment. Bundles are in the work_dir, one folder for each; nothing outside it is changed.
umask 077
tab=$(printf '\t')
never_starts=''   # a batch system that keeps jobs which can never start sets it; see batch/base.py
die() { printf '%s\n' "$*" >&2; exit 70; }

# Makes a temporary folder, which is removed when the program ends for whatever reason.
make_scratch() {
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/scheduler.XXXXXX") || die "cannot make a temporary folder in ${TMPDIR:-/tmp}"
  trap 'rm -rf "$scratch"' EXIT
}

# Keeps standard input in the file $1. It must have $2 lines: if the connection has ended in the middle, a list that is cut
# off would name other jobs, or all.
read_request() {
  cat >"$1"
  [ "$(($(wc -l <"$1")))" = "$2" ] || die "the request is incomplete: the connection ended before it had arrived"
}

# Prints what other users may do in the folder $1: "owner UID" (it belongs to another user, not root), "world" (every user
# may rename and remove files of ours), "group" (the same for its group); else nothing. $2 is a file or link of ours on the
# same file system: there, our own number may be another one than here.
folder_risk() {
  # shellcheck disable=SC2012
  { ls -ldn -- "$1/."; ls -ldn -- "$2"; } 2>/dev/null | awk '
    NR == 1 { mode = $1; owner = $3 } NR == 2 { ours = $3 }
    END { if (NR < 2) exit; if (owner != ours && owner != 0) print "owner " owner
      else if (mode ~ /^........w[^tT]/) print "world"; else if (mode ~ /^.....w/) print "group" }'
}
# Ends the program if other users could replace files in the work_dir $1. $2 as for folder_risk.
refuse_unsafe() {
  case $(folder_risk "$1" "$2") in
    owner*) die "the work_dir $1 belongs to another user (uid $(folder_risk "$1" "$2" | cut -d ' ' -f 2)), who could replace the files of your jobs; nothing was submitted. Set work_dir: to a directory of yours" ;;
    world) die "the work_dir $1 is writable by every user, without the sticky bit: they could replace the files of your jobs; nothing was submitted. On the cluster: chmod o-w '$1', or set work_dir: to a directory of yours" ;;
  esac
}

# Prints when process $1 began, and in which boot of the machine: this distinguishes it from a later process with the same
# number.
born() {
  if [ -r "/proc/$1/stat" ]; then
    printf '%s.%s' "$(cat /proc/sys/kernel/random/boot_id)" "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr -c 'A-Za-z0-9:\n' '.'
  fi
}
# Identifies this machine since it was started, and the space in which its process numbers are unique (a container has its own).
machine() {
  boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=$(uname -n)
  printf '%s.%s' "$boot" "$(readlink /proc/self/ns/pid 2>/dev/null | tr -cd 0-9)"
}
# Succeeds if the process $1, written as "pid:born", still runs.
alive() {
  [ -n "$1" ] && kill -0 "${1%%:*}" 2>/dev/null && [ "$(born "${1%%:*}")" = "${1#*:}" ]
}

# Finds a command of a batch system. On some machines only login shells have these commands on PATH.
find_command() {
  command -v "$1" >/dev/null 2>&1 && return
  # shellcheck disable=SC1091
  [ ! -r /etc/profile ] || . /etc/profile >/dev/null 2>&1 || :
  command -v "$1" >/dev/null 2>&1 || return 127
}

# Submits batch $1 by the command that follows $2. It may be refused by a limit, with a message that matches $2 (grep -E), while
# the user has nothing in the queue: then it is submitted once more, since a job may just have ended; if that is refused
# too, that is printed: the batch alone exceeds a limit, or other users have used it up. The batch system has the function nothing_queued.
submit_within_limits() {
  batch=$1 limits=$2
  shift 2
  for exceeds in '' 1; do
    said=$("$@" 2>"batches/$batch/words")
    code=$?
    if [ "$code" -eq 0 ] || ! grep -qiE "$limits" "batches/$batch/words" || ! nothing_queued; then exceeds=''; break; fi
  done
  cat "batches/$batch/words" >&2
  [ -z "$exceeds" ] || echo "no job of this user is in the queue. If an array is larger than the limit: limits.queued in the site file makes arrays smaller" >&2
  [ -z "$said" ] || printf '%s\n' "$said"
  return "$code"
}

# An awk function that makes the numbers of a list such as 0-3,7 or 1-9:2%4 the keys of an array.
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
