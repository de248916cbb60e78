# Lists the outputs of finished jobs with size and SHA-256. Reads a line for each job, fields separated by tabs: its number
# in the request, which argument is the folder of its bundle, its element, how often it was requeued.
# Prints "gone NUMBER" for each job whose folder no longer exists, then "files N", then for each file three strings ended by
# NUL (the number of its job, a tab, its kind; a folder; its path in that folder), then N sizes, then N hashes.
# Kind: the number of an output pattern, or stdout, stderr, result, error. Files of $1 bytes and more have "-" instead of a
# hash: they are hashed while they are sent.
make_scratch
export scratch
if command -v sha256sum >/dev/null 2>&1; then hashes() { xargs -0 sha256sum --; }; else hashes() { xargs -0 shasum -a 256 --; }; fi
if stat -L -c %s / >/dev/null 2>&1; then sizes() { xargs -0 stat -L -c %s --; }; else sizes() { xargs -0 stat -L -f %z --; }; fi

# Adds $2 to the list as kind $1: a file of the current folder, or all files of a folder in it.
found() {
  if [ -f "$2" ]; then
    printf '%s\t%s\0%s\0%s\0' "$job" "$1" "$PWD" "${2#./}" >&4
    printf '%s/%s\0' "$PWD" "${2#./}" >&5
  elif [ -d "$2" ]; then
    kind=$1 job=$job find -H "$2" ! -type d -exec sh -c 'for f do
      [ -f "$f" ] || continue
      printf "%s\t%s\0%s\0%s\0" "$job" "$kind" "$PWD" "${f#./}" >&4
      printf "%s/%s\0" "$PWD" "${f#./}" >&5
    done 4>>"$scratch/names" 5>>"$scratch/paths"' sh '{}' + </dev/null
  fi
}
output() {
  number=$1
  shift 2
  for file do found "$number" "$file"; done
}

# One shell lists all jobs: a fork for each would take most of the time. The shell exits at an outputs.sh that cannot be read
# or is incomplete (the disk was full); the next shell continues with the rest of the request.
until (
  while IFS=$tab read -r job which element attempt; do
    eval "control=\${$which}/$element"
    cd -P "$control" 2>/dev/null || { printf 'gone %s\n' "$job"; continue; }
    for name in stdout stderr; do [ ! -f "$name.$attempt" ] || found "$name" "./$name.$attempt"; done
    for name in result error; do [ ! -f "$name.json" ] || found "$name" "./$name.json"; done
    dir=''
    outputs() { :; }
    # shellcheck disable=SC1091
    . ./outputs.sh
    { [ -n "$dir" ] && cd -P "$dir" 2>/dev/null; } || { printf 'gone %s\n' "$job"; continue; }
    outputs
    [ -f "$control/result.json" ] || [ ! -f result.json ] || found result ./result.json
  done
  exit 0
) 4>>"$scratch/names" 5>>"$scratch/paths"; do :; done
[ -s "$scratch/paths" ] || { echo 'files 0'; exit 0; }
sizes <"$scratch/paths" >"$scratch/sizes" || exit 74
printf 'files %s\n' "$(wc -l <"$scratch/sizes")"
cat "$scratch/names" "$scratch/sizes"
large=$1 small=$scratch/paths
export large
if awk -v large="$large" '$0 + 0 >= large + 0 { found = 1; exit } END { exit !found }' "$scratch/sizes"; then
  small=$scratch/small
  # xargs may run this sh several times; all read the list of sizes from the same descriptor, so that each size is read with
  # its path.
  exec 3<"$scratch/sizes"
  xargs -0 sh -c 'for f do read -r size <&3; [ "$size" -ge "$large" ] || printf "%s\0" "$f"; done' sh <"$scratch/paths" >"$small"
fi
hashes <"$small" | sed 's/^\\//' | cut -c 1-64 >"$scratch/hashes"
awk -v large="$large" 'FILENAME == ARGV[1] { hash[n++] = $0; next } { if ($0 + 0 >= large + 0) print "-"; else if (i < n) print hash[i++] }' \
  "$scratch/hashes" "$scratch/sizes"
