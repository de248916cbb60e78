# Unpacks a bundle and hands its batches to the batch system, each at most once. It goes on when the line is cut.
#   $1 work folder  $2 token  $3 how many run at once (shell only)  $4 Python that pickles need, or empty
#   $5 batches that may be handed over now, by their first elements (0-3,7); the others wait, or have been
#   $6 batches that may be, although they were tried: nobody has heard of them since, and their scripts run once all the same
#   $7 elements that were cancelled while their batch waited: they are never to run
#   $8 what has been staged of it, a line a piece, in order: whose it is (a large file's number, or "bundle"), its name,
#      how much of it
# Reads the bundle as a gzipped tar (nothing, if it was unpacked before, or staged). Prints a line a batch: first, exit
# code, words.
trap '' PIPE HUP INT
work=$1 token=$2 running=$3 needs=$4 now=$5 again=$6 never=$7 pieces=$8
mkdir -p "$work" || die "cannot make the work folder $work"
work=$(cd "$work" && pwd -P) || die "cannot enter the work folder $1"
[ -w "$work" ] || die "the work folder $work is not writable"
bundle=$work/$token
printf 'folder\t%s\n' "$bundle"

# Only one program at a time may work at a bundle: a link that names its process is the claim, and when that began, since
# after a reboot another process may have its number.
claim=$work/.claim-$token
me=$(uname -n):$$:$(born $$)
claimed=''
for _ in 1 2 3 4 5; do
  if ln -s "$me" "$claim" 2>/dev/null; then claimed=1; break; fi
  holder=$(readlink "$claim" 2>/dev/null) || continue   # given back meanwhile
  busy=''
  case $holder in
    "$(uname -n):"*) alive "${holder#*:}" && busy=1 ;;
    *) busy=$(find "$claim" -prune -mmin -30 2>/dev/null) ;;
  esac
  if [ -n "$busy" ]; then printf 'busy\t%s\n' "$holder"; exit 0; fi
  mv "$claim" "$claim.$$" 2>/dev/null && rm -f "$claim.$$"
done
[ -n "$claimed" ] || die "cannot write in the work folder $work (is the disk full?)"
trap 'rm -f "$claim"' EXIT

# The pieces of one file, one after the other.
joined() {
  printf '%s\n' "$pieces" | while read -r whose piece count; do
    [ "$whose" != "$1" ] || head -c "$count" "$staged/$piece" || exit
  done
}
# A large file takes the place that the tar has kept for it. Of one piece it is not copied again.
place() {
  target=$(cat ".large/$1" && echo /) && target=./${target%/} || return
  if [ "$(printf '%s\n' "$pieces" | grep -c "^$1 ")" -eq 1 ]; then
    piece=$(printf '%s\n' "$pieces" | sed -n "s/^$1 \([^ ]*\) $2\$/\1/p")
    [ ! -x "$target" ] || chmod 700 "$staged/$piece"
    mv "$staged/$piece" "$target"
  else
    joined "$1" >"$target"
  fi && [ "$(($(wc -c <"$target")))" -eq "$2" ]
}

staged=$work/.staged-$token
if [ ! -e "$bundle/.scheduler" ]; then
  incoming=$work/.incoming-$token
  rm -rf "$incoming"
  mkdir "$incoming" || die "cannot make a folder in $work"
  words=$({
    case $pieces in
      *bundle*) joined bundle | tar -xzmf - -C "$incoming" ;;
      *) tar -xzmf - -C "$incoming" ;;
    esac
  } 2>&1) || {
    rm -rf "$incoming"
    die "cannot unpack the bundle in $work: $(printf '%s\n' "$words" | head -n 1). If the disk or your quota is full: make room there, or set another work_dir"
  }
  if [ ! -e "$incoming/.scheduler" ]; then rm -rf "$incoming"; printf 'empty\t\n'; exit 0; fi
  if [ -d "$incoming/.large" ]; then
    cd "$incoming" || die "cannot enter $incoming"
    while read -r number size; do
      place "$number" "$size" || die "a large file of the bundle is not whole in $work (is the disk full?)"
    done <.large/list
    rm -rf .large
    cd "$work" || die "cannot enter $work"
  fi
  mv "$incoming" "$bundle" || die "cannot name the bundle $bundle"
else
  cat >/dev/null
fi
rm -rf "$staged"
cd "$bundle" || die "cannot enter $bundle"

if [ -n "$needs" ]; then
  has=$(sh -c "$needs" 2>&1 </dev/null) || has="an error: $has"
  printf 'python\t%s\n' "$(printf %s "$has" | tail -n 1)"
  if [ "$has" != "$(cat needs-python)" ]; then   # nothing of it was submitted, and nothing of it stays
    cd "$work" && ! ls "$bundle"/batches/*/tried >/dev/null 2>&1 && [ -e "$bundle/.scheduler" ] && rm -rf "$bundle"
    exit 0
  fi
fi

numbered() { awk "$awk_numbers"'BEGIN { numbers(ARGV[1], some); for (i in some) print i }' "$1"; }
[ -z "$never" ] || numbered "$never" | while read -r element; do ln -s cancelled "guards/$element" 2>/dev/null; done
# A later attempt of jobs brings no files of theirs: `copies` names, for each element, the bundle and the element of the
# attempt before, and the first of those that were submitted with it. What that one left is not copied. The link `shared`
# leads to what was sent with the first attempt.
copy_element() {
  from=$2/$3 place=$1
  [ ! -e "$2/batches/$4/index" ] || pauses='' unpack_element "$2" "$4" "$3" || return 70
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
  while IFS=$tab read -r element folder before its_first; do
    if [ "$folder" != "$known" ]; then
      known=$folder
      rm -f shared
      [ ! -d "$folder/shared" ] || ln -s "$folder/shared" shared || return 70
    fi
    copy_element "$element" "$folder" "$before" "$its_first" || return
  done <"batches/$1/copies"
  rm -f shared
  without=$(cut -f 1 "batches/$1/copies" | sed 's/$/\/script.sh/' | xargs grep -L '^element=[0-9][0-9]*$' | head -n 1)
  [ -z "$without" ] || { echo "$without: the script of the attempt before has no line element="; return 66; }
  : >"batches/$1/copied"
}

# A batch: its first element, how many, the script. What was said is kept beside it; the id appears by rename. The answer
# is told from memory: on a disk that is full it is all that there is.
awk -F '\t' -v now="$now" -v again="$again" "$awk_numbers"'BEGIN { numbers(now, may); numbers(again, twice) }
  ($1 + 0) in may { print $0 "\t" (($1 + 0) in twice ? "again" : "once") }' batches/list |
while IFS=$tab read -r first count script how; do
  b=batches/$first
  code='' said=''
  if [ ! -e "$b/id" ] && { [ ! -e "$b/tried" ] || [ "$how" = again ]; }; then
    jobs=$count   # those of a node are several
    [ ! -e "$b/members" ] || jobs=$(($(wc -l <"$b/members")))
    said=$(copy_batch "$first" "$jobs" 2>&1)
    code=$?
    if [ "$code" -ne 0 ]; then printf '%s\t%s\t%s\n' "$first" "$code" "$(printf %s "$said" | tr '\n\t' '\r ')"; continue; fi
    code='' said=''
    { date >"$b/tried" && [ -s "$b/tried" ]; } 2>/dev/null || { rm -f "$b/tried"; printf '%s\t-\tcannot write in %s (is the disk full?)\n' "$first" "$bundle"; continue; }
    said=$({ batch_submit "$script" "$first" "$count" 2>"$b/err" </dev/null; printf '%s' "x$?"; })
    code=${said##*x} said=${said%x*}
    if [ "$code" -eq 0 ] && [ -n "$said" ]; then
      { printf '%s' "$said" >"$b/out" && mv "$b/out" "$b/id"; } 2>/dev/null
      printf '%s\t0\t%s\n' "$first" "$(printf %s "$said" | tr '\n\t' '  ')"
      continue
    fi
    { printf '%s' "$said" >"$b/out"; printf '%s\n' "$code" >"$b/code"; } 2>/dev/null
  fi
  if [ -s "$b/id" ]; then
    printf '%s\t0\t%s\n' "$first" "$(tr '\n\t' '  ' <"$b/id")"
  elif [ -n "$code" ] || [ -s "$b/code" ]; then
    printf '%s\t%s\t%s\n' "$first" "${code:-$(cat "$b/code")}" "$({ cat "$b/err" 2>/dev/null; [ -z "$said" ] && cat "$b/out" 2>/dev/null || printf %s "$said"; } | head -c 2000 | tr '\n\t' '\r ')"
  fi
done
batch_submitted "$running"
