# Inspects a login node. Prints one line per fact: name, exit code, text, separated by tabs. Submits nothing.
#   $1 remote directory  $2 sh text that prints the version of the Python for functions  $3 container runtime
#   $4 queue  $5 account (both may be empty)  $6 container image, or empty  $7 modules for containers, separated by blanks
# stdin: a script with the site's directives, for batch systems that can check one without submitting it.
work=$1 python=$2 runtime=$3 queue=$4 account=$5 image=$6 modules=$7

# Prints a fact: name, exit code, text. The text may be the output of any command: it is cut and put on one line.
fact() { printf '%s\t%s\t%s\n' "$1" "$2" "$(printf %s "$3" | head -c 700 | tr '\n\t\r' '   ')"; }

fact clock 0 "$(date +%s)"
fact user 0 "$(id -un)"
fact host 0 "$(uname -n), $(uname -sr)"
fact shell 0 "${SHELL:-unknown}"
for name in awk cat cp cut date find getconf grep gzip head id ln ls mkdir mktemp mv ps readlink rm sed sort tail tar tr wc xargs; do
  command -v "$name" >/dev/null 2>&1 || fact tool 127 "$name"
done
command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 || fact tool 127 "sha256sum or shasum"
make_scratch
cat >"$scratch/trial"

# Does in the remote directory what submitting a bundle needs: make a directory, write a file, rename it, link to it.
try_work_dir() {
  mkdir -p "$work" || return
  cd "$work" || return
  probe=.check-$$
  trap 'rm -rf "$probe"' EXIT
  mkdir "$probe" || return
  head -c 262144 /dev/zero >"$probe/a" || return
  [ "$(wc -c <"$probe/a")" -eq 262144 ] || { echo "only a part of 256 KiB could be written" >&2; return 1; }
  mv "$probe/a" "$probe/b" && ln -s b "$probe/link" || return
  folder_risk . "$probe" >"$scratch/risk"
  pwd -P
}
if [ -n "$work" ]; then
  if (try_work_dir) >"$scratch/path" 2>"$scratch/why"; then fact work 0 "$(cat "$scratch/path")"; fact risk 0 "$(cat "$scratch/risk")"; else fact work 1 "$(cat "$scratch/why")"; fi
  at=$work
  while [ ! -d "$at" ] && [ "$at" != / ] && [ "$at" != . ]; do at=$(dirname -- "$at"); done
  fact free 0 "$(df -Pk "$at" 2>/dev/null | awk 'NR == 2 { print $4, $2 }')"
  fact inodes 0 "$(df -Pi "$at" 2>/dev/null | awk 'NR == 2 { print $4, $2 }')"
fi

if [ -n "$python" ]; then
  words=$(sh -c "$python" 2>&1 </dev/null)
  fact python $? "$words"
fi

try_runtime() {
  if [ -n "$modules" ]; then
    # shellcheck disable=SC1091
    command -v module >/dev/null 2>&1 || . /etc/profile
    # shellcheck disable=SC2086
    module load $modules || return
  fi
  find_command "$runtime" || { echo "$runtime: command not found"; return 127; }
  "$runtime" --version
}
words=$(try_runtime 2>&1 </dev/null)
fact container $? "$words"
if [ -n "$image" ]; then
  words=$(ls -d -- "$image" 2>&1)
  fact image $? "$words"
fi

batch_check "$queue" "$account" "$scratch/trial" 2>"$scratch/error" </dev/null | awk '{ print "batch\t0\t" $0 }'
[ ! -s "$scratch/error" ] || fact batch_error 1 "$(cat "$scratch/error")"
fact end 0 ''
