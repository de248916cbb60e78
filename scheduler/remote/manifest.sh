# Lists what jobs that have ended left, with size and SHA-256. Reads a line a job, parted by tabs: bundle folder, element,
# attempt. Prints "files N", then for each file three words ended by NUL (its job's number in the question and its kind;
# the folder; its path in there), then N sizes, then N hashes. Kind: the number of an output pattern, or a word of ours.
# Files of $1 bytes and more have "-" for a hash: theirs is taken while they are sent.
make_scratch
export scratch
if command -v sha256sum >/dev/null 2>&1; then hashes() { xargs -0 sha256sum --; }; else hashes() { xargs -0 shasum -a 256 --; }; fi
if stat -L -c %s / >/dev/null 2>&1; then sizes() { xargs -0 stat -L -c %s --; }; else sizes() { xargs -0 stat -L -f %z --; }; fi

# A file of the current folder, or all files of a folder in it. Kind: a pattern's number, or a word.
found() {
  if [ -f "$2" ]; then
    printf '%s/%s\0' "$PWD" "${2#./}" >>"$scratch/paths"
    printf '%s\t%s\0%s\0%s\0' "$job" "$1" "$PWD" "${2#./}" >>"$scratch/names"
  elif [ -d "$2" ]; then
    kind=$1 job=$job find -H "$2" ! -type d -exec sh -c 'for f do
      [ -f "$f" ] || continue
      printf "%s/%s\0" "$PWD" "${f#./}" >>"$scratch/paths"
      printf "%s\t%s\0%s\0%s\0" "$job" "$kind" "$PWD" "${f#./}" >>"$scratch/names"
    done' sh '{}' +
  fi
}
output() {
  number=$1
  shift 2
  for file do found "$number" "$file"; done
}

: >"$scratch/paths"
: >"$scratch/names"
job=0
while IFS=$tab read -r bundle element attempt; do
  (
    control=$bundle/$element
    cd -P "$control" 2>/dev/null || { printf 'gone %s\n' "$job"; exit; }
    for name in stdout stderr; do [ ! -f "$name.$attempt" ] || found "$name" "./$name.$attempt"; done
    for name in result error; do [ ! -f "$name.json" ] || found "$name" "./$name.json"; done
    # shellcheck disable=SC1091
    . ./outputs.sh
    # shellcheck disable=SC2154
    cd -P "$dir" 2>/dev/null || { printf 'gone %s\n' "$job"; exit; }
    outputs
    [ -f "$control/result.json" ] || [ ! -f result.json ] || found result ./result.json
  ) </dev/null
  job=$((job + 1))
done
printf 'files %s\n' "$(tr -cd '\0' <"$scratch/paths" | wc -c)"
[ -s "$scratch/paths" ] || exit 0
cat "$scratch/names"
sizes <"$scratch/paths" >"$scratch/sizes" || exit 74
cat "$scratch/sizes"
large=$1
export large
# The list of names is read beside that of sizes, which all copies of this sh share.
exec 3<"$scratch/sizes"
xargs -0 sh -c 'for f do read -r size <&3; [ "$size" -ge "$large" ] || printf "%s\0" "$f"; done' sh <"$scratch/paths" >"$scratch/small"
hashes <"$scratch/small" | sed 's/^\\//' | cut -c 1-64 >"$scratch/hashes"
awk -v large="$large" 'FILENAME == ARGV[1] { hash[n++] = $0; next } { if ($0 + 0 >= large + 0) print "-"; else if (i < n) print hash[i++] }' \
  "$scratch/hashes" "$scratch/sizes"
