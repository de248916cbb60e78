# Lists what jobs that have ended left, with size and SHA-256. Reads a line a job, parted by tabs: its number in the
# question, which of the words here is its bundle's folder, its element, its attempt. Prints "gone NUMBER" for each job
# without a folder, then "files N", then for each file three words ended by NUL (its job's number and its kind; the
# folder; its path in there), then N sizes, then N hashes. Kind: the number of an output pattern, or a word of ours.
# Files of $1 bytes and more have "-" for a hash: theirs is taken while they are sent.
make_scratch
export scratch
if command -v sha256sum >/dev/null 2>&1; then hashes() { xargs -0 sha256sum --; }; else hashes() { xargs -0 shasum -a 256 --; }; fi
if stat -L -c %s / >/dev/null 2>&1; then sizes() { xargs -0 stat -L -c %s --; }; else sizes() { xargs -0 stat -L -f %z --; }; fi

# A file of the current folder, or all files of a folder in it. Kind: a pattern's number, or a word.
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

# One shell for all jobs: a fork each would cost most of the time. A shell ends where an outputs.sh cannot be read or is not
# whole (a full disk); what it had not yet read of the question, the next one reads.
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
  # The list of names is read beside that of sizes, which all copies of this sh share.
  exec 3<"$scratch/sizes"
  xargs -0 sh -c 'for f do read -r size <&3; [ "$size" -ge "$large" ] || printf "%s\0" "$f"; done' sh <"$scratch/paths" >"$small"
fi
hashes <"$small" | sed 's/^\\//' | cut -c 1-64 >"$scratch/hashes"
awk -v large="$large" 'FILENAME == ARGV[1] { hash[n++] = $0; next } { if ($0 + 0 >= large + 0) print "-"; else if (i < n) print hash[i++] }' \
  "$scratch/hashes" "$scratch/sizes"
