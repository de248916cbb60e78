# Lists the outputs of finished jobs with size and SHA-256. Reads a line for each job, fields separated by tabs: its number
# in the request, which argument is the folder of its bundle, its element, how often it was requeued.
# Prints "gone NUMBER" for each job whose folder no longer exists, and "bad NUMBER WHY NAME" for a file that cannot be listed
# (read: it cannot be read; inside: it is a link to a folder that is not the job's to collect); then "files N"; then for each
# file three strings ended by NUL (the number of its job, a tab, its kind; a folder; its path in that folder); then N lines
# "SIZE MODE MTIME"; then N hashes.
# Kind: the number of an output pattern, or stdout, stderr, result, error. Files of $1 bytes and more have "-" instead of a
# hash: they are hashed while they are sent. A file that was lost meanwhile has size -1 or the hash "!".
make_scratch
if command -v sha256sum >/dev/null 2>&1; then sha256=sha256sum; else sha256='shasum -a 256'; fi
if stat -L -c %s / >/dev/null 2>&1; then form=-c details='%s %a %Y'; else form=-f details='%z %Lp %m'; fi
large=$1
export scratch sha256 form details large
hashes() { if [ "$sha256" = sha256sum ]; then xargs -0 sha256sum --; else xargs -0 shasum -a 256 --; fi; }

# Prints why a file of the job cannot be collected; one file of each job.
bad() {
  [ "$bad_job" = "$job" ] || printf 'bad %s %s %s\n' "$job" "$1" "$(printf %s "${2#./}" | head -c 300 | tr '\000-\037\177' '?')"
  bad_job=$job
}
unreadable() { bad read "$1"; }
# A link that the user named may be followed, but not into our own files, nor to a folder that holds the job's.
follows() {
  inside=$(cd -P "$1" 2>/dev/null && pwd -P) || { unreadable "$1"; return 1; }
  case $inside in / | //) inside='' ;; esac   # bash: //
  case $control/ in "$inside"/*) bad inside "$1"; return 1 ;; esac
  case $here/ in "$inside"/*) bad inside "$1"; return 1 ;; esac
  case $inside/ in "$here"/*) ;; "${control%/*}"/*) bad inside "$1"; return 1 ;; esac
}
# Adds $2 to the list as kind $1: a file of the current folder, or all files of a folder in it.
found() {
  if [ -f "$2" ]; then
    { true <"$2"; } 2>/dev/null || { unreadable "$2"; return 0; }
    printf '%s\t%s\0%s\0%s\0' "$job" "$1" "$PWD" "${2#./}" >&4
    printf '%s/%s\0' "$PWD" "${2#./}" >&5
  elif [ -d "$2" ]; then
    kind=$1 job=$job top=$2 find -H "$2" -exec sh -c '
      for f do
        if [ -d "$f" ] && [ -L "$f" ] && [ "$f" != "$top" ]; then continue; fi
        if [ -d "$f" ]; then
          [ ! -r "$f" ] || [ ! -x "$f" ] || continue
        elif [ ! -f "$f" ]; then
          continue
        elif { true <"$f"; } 2>/dev/null; then
          printf "%s\t%s\0%s\0%s\0" "$job" "$kind" "$PWD" "${f#./}" >&4
          printf "%s/%s\0" "$PWD" "${f#./}" >&5
          continue
        fi
        printf "bad %s read %s\n" "$job" "$(printf %s "${f#./}" | head -c 300 | tr "\000-\037\177" "?")"
        exit 0
      done 4>>"$scratch/names" 5>>"$scratch/paths"' sh '{}' + </dev/null 2>/dev/null
  fi
}
hit() { found "$number" "$1"; }
# For `outputs`, called without pathname expansion: lists the files that a pattern matches.
#   $1 its number  $2 the pattern as the user wrote it  $3, $4 as glob.sh compares it
declared() {
  number=$1
  set +f
  matching . "$3" "$4"
  set -f
}
# Bundles of older versions call this. Only the pattern as the user wrote it is used.
output() {
  case $2 in '**') declared "$1" "$2" '*' '*' ;; *) declared "$1" "$2" "$2" "$2" ;; esac
}

# One shell lists all jobs: a fork for each would take most of the time. The shell exits at an outputs.sh that cannot be read
# or is incomplete (the disk was full); the next shell continues with the rest of the request.
until (
  while IFS=$tab read -r job which element attempt; do
    eval "control=\${$which}/$element"
    cd -P "$control" 2>/dev/null || { printf 'gone %s\n' "$job"; continue; }
    control=$PWD
    for name in stdout stderr; do [ ! -f "$name.$attempt" ] || found "$name" "./$name.$attempt"; done
    for name in result error; do [ ! -f "$name.json" ] || found "$name" "./$name.json"; done
    dir=''
    outputs() { :; }
    # shellcheck disable=SC1091
    . ./outputs.sh
    [ -n "$dir" ] && [ -d "$dir" ] || { printf 'gone %s\n' "$job"; continue; }
    cd -P "$dir" 2>/dev/null || { bad read "$dir"; continue; }
    here=$PWD
    set -f
    outputs
    set +f
    [ -f "$control/result.json" ] || [ ! -f result.json ] || found result ./result.json
  done
  exit 0
) 4>>"$scratch/names" 5>>"$scratch/paths"; do :; done
[ -s "$scratch/paths" ] || { echo 'files 0'; exit 0; }

# If a file cannot be examined or hashed after all, its line is missing: then all are done one by one.
count() { tr -dc '\000' <"$1" | wc -c; }
lines() { wc -l <"$1"; }
total=$(count "$scratch/paths")
xargs -0 stat -L "$form" "$details" -- <"$scratch/paths" >"$scratch/details" 2>/dev/null
[ "$total" -eq "$(lines "$scratch/details")" ] || xargs -0 sh -c '
  for f do stat -L "$form" "$details" -- "$f" 2>/dev/null || echo -1; done' sh <"$scratch/paths" >"$scratch/details"
[ "$total" -eq "$(lines "$scratch/details")" ] || die "cannot examine the outputs (is the disk full?)"
printf 'files %s\n' "$((total))"
cat "$scratch/names" "$scratch/details"
small=$scratch/paths
if awk -v large="$large" '$1 < 0 || $1 + 0 >= large + 0 { found = 1; exit } END { exit !found }' "$scratch/details"; then
  small=$scratch/small
  # xargs may run this sh several times; all read the list of sizes from the same descriptor, so that each size is read with
  # its path.
  exec 3<"$scratch/details"
  xargs -0 sh -c 'for f do read -r size _ <&3; [ "$size" -ge "$large" ] || [ "$size" -lt 0 ] || printf "%s\0" "$f"; done' \
    sh <"$scratch/paths" >"$small"
fi
[ ! -s "$small" ] || hashes <"$small" 2>/dev/null | sed 's/^\\//' | cut -c 1-64 >"$scratch/hashes"
[ -e "$scratch/hashes" ] || : >"$scratch/hashes"
[ "$(count "$small")" -eq "$(lines "$scratch/hashes")" ] || xargs -0 sh -c '
  for f do hash=$($sha256 -- "$f" 2>/dev/null) && printf "%.64s\n" "${hash#\\}" || echo "!"; done' sh <"$small" >"$scratch/hashes"
awk -v large="$large" 'FILENAME == ARGV[1] { hash[n++] = $0; next }
  { if ($1 < 0) print "!"; else if ($1 + 0 >= large + 0) print "-"; else if (i < n) print hash[i++] }' \
  "$scratch/hashes" "$scratch/details"
