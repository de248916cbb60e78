# Unpacks a bundle and hands its batches to the batch system, each at most once. It goes on when the line is cut.
#   $1 work folder  $2 token  $3 how many run at once (shell only)  $4 Python that pickles need, or empty
#   $5 "again": batches that were tried without an answer may be tried once more (their scripts run once all the same)
# Reads the bundle as a gzipped tar (nothing, if it was unpacked before). Prints a line a batch: first, exit code, words.
trap '' PIPE HUP INT
work=$1 token=$2 running=$3 needs=$4 again=$5
mkdir -p "$work" || die "cannot make the work folder $work"
work=$(cd "$work" && pwd -P) || die "cannot enter the work folder $1"
[ -w "$work" ] || die "the work folder $work is not writable"
bundle=$work/$token
printf 'folder\t%s\n' "$bundle"

# Only one program at a time may work at a bundle: a link that names its process is the claim.
claim=$work/.claim-$token
me=$(uname -n):$$
claimed=''
for _ in 1 2 3 4 5; do
  if ln -s "$me" "$claim" 2>/dev/null; then claimed=1; break; fi
  holder=$(readlink "$claim" 2>/dev/null) || continue   # given back meanwhile
  busy=''
  case $holder in
    "$(uname -n):"*) kill -0 "${holder#*:}" 2>/dev/null && busy=1 ;;
    *) busy=$(find "$claim" -prune -mmin -30 2>/dev/null) ;;
  esac
  if [ -n "$busy" ]; then printf 'busy\t%s\n' "$holder"; exit 0; fi
  mv "$claim" "$claim.$$" 2>/dev/null && rm -f "$claim.$$"
done
[ -n "$claimed" ] || die "cannot write in the work folder $work (is the disk full?)"
trap 'rm -f "$claim"' EXIT

if [ ! -e "$bundle/.scheduler" ]; then
  incoming=$work/.incoming-$token
  rm -rf "$incoming"
  mkdir "$incoming" || die "cannot make a folder in $work"
  tar -xzf - -C "$incoming" || die "cannot unpack the bundle in $work"
  if [ ! -e "$incoming/.scheduler" ]; then rm -rf "$incoming"; printf 'empty\t\n'; exit 0; fi
  mv "$incoming" "$bundle" || die "cannot name the bundle $bundle"
else
  cat >/dev/null
fi
cd "$bundle" || die "cannot enter $bundle"

if [ -n "$needs" ]; then
  has=$(sh -c "$needs" 2>&1 </dev/null) || has="an error: $has"
  printf 'python\t%s\n' "$(printf %s "$has" | tail -n 1)"
  if [ "$has" != "$(cat needs-python)" ]; then   # nothing of it was submitted, and nothing of it stays
    cd "$work" && ! ls "$bundle"/batches/*/tried >/dev/null 2>&1 && [ -e "$bundle/.scheduler" ] && rm -rf "$bundle"
    exit 0
  fi
fi

# A later attempt of jobs brings no files of theirs: `copies` names, for each element, the bundle and the element of the
# attempt before. What that one left is not copied. The link `shared` leads to what was sent with the first attempt.
copy_element() {
  from=$2/$3 place=$1
  if [ ! -e "$2/.scheduler" ] || [ ! -s "$from/script.sh" ]; then echo "the folder of the attempt before, $from, is gone"; return 66; fi
  set --
  for file in "$from/shared" ./shared; do [ ! -L "$file" ] || { set -- "$file"; break; }; done
  for file in "$from"/*; do
    case ${file##*/} in stdout.* | stderr.* | dir | result.json | error.json | cannot | began.* | shared | script.sh) continue ;; esac
    set -- "$@" "$file"
  done
  [ ! -e "./$place" ] || rm -rf "./$place"
  mkdir "./$place" && cp -RP "$@" "./$place/" &&
    sed "1,/^element=[0-9][0-9]*\$/s/^element=[0-9][0-9]*\$/element=$place/" "$from/script.sh" >"$place/script.sh" || return 70
}
copy_batch() {
  [ -e copies ] && [ ! -e "batches/$1/copied" ] || return 0
  awk -F '\t' -v first="$1" -v count="$2" '$1 >= first && $1 < first + count' copies >"batches/$1/copies" || return 70
  known=''
  while IFS=$tab read -r element folder before; do
    if [ "$folder" != "$known" ]; then
      known=$folder
      rm -f shared
      [ ! -d "$folder/shared" ] || ln -s "$folder/shared" shared || return 70
    fi
    copy_element "$element" "$folder" "$before" || return
  done <"batches/$1/copies"
  rm -f shared
  without=$(cut -f 1 "batches/$1/copies" | sed 's/$/\/script.sh/' | xargs grep -L '^element=[0-9][0-9]*$' | head -n 1)
  [ -z "$without" ] || { echo "$without: the script of the attempt before has no line element="; return 66; }
  : >"batches/$1/copied"
}

# A batch: its first element, how many, the script. What was said is kept beside it; the id appears by rename.
while IFS=$tab read -r first count script; do
  b=batches/$first
  if [ ! -e "$b/id" ] && { [ ! -e "$b/tried" ] || [ -n "$again" ]; }; then
    said=$(copy_batch "$first" "$count" 2>&1)
    code=$?
    if [ "$code" -ne 0 ]; then printf '%s\t%s\t%s\n' "$first" "$code" "$(printf %s "$said" | tr '\n\t' '\r ')"; continue; fi
    : >"$b/tried" || { printf '%s\t%s\t%s\n' "$first" 70 "cannot write in $bundle"; continue; }
    batch_submit "$script" "$first" "$count" >"$b/out" 2>"$b/err" </dev/null
    code=$?
    printf '%s\n' "$code" >"$b/code"
    [ "$code" -ne 0 ] || [ ! -s "$b/out" ] || mv "$b/out" "$b/id"
  fi
  if [ -e "$b/id" ]; then
    printf '%s\t0\t%s\n' "$first" "$(tr '\n\t' '  ' <"$b/id")"
  elif [ -e "$b/code" ]; then
    printf '%s\t%s\t%s\n' "$first" "$(cat "$b/code")" "$(cat "$b/err" "$b/out" 2>/dev/null | head -c 2000 | tr '\n\t' '\r ')"
  fi
done <batches/list
batch_submitted "$running"
