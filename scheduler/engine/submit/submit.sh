# Unpacks a bundle and submits its batches to the batch system, each at most once. It continues if the connection is lost.
#   $1 work_dir  $2 token  $3 how many jobs run at once (batch system "shell" only)
#   $4 a command that prints the version of the site's Python, if pickles need a certain one; else empty
#   $5 batches to submit, by their first elements (0-3,7); the others wait for a slot, or have been submitted
#   $6 those of $5 that are submitted although they were tried before: no poll has observed them since, and the run-once
#      guard lets one script run
#   $7 elements that were cancelled before their batch has a known id: they must never run
#   $8 the uploaded ranges of large files, a line for each, in order: the number of the file (or "bundle"), the name of the
#      range, how many of its bytes to take
#   $9 a digest of the campaign, or empty  ${10} the tokens of its bundles that the ledger knows, separated by blanks
#   ${11} batches that are given up, because no poll has observed them after several submissions: they must never run
# Reads the bundle as a gzipped tar (empty if it was unpacked before, or uploaded). Prints a line for each batch that was
# ever tried: first element, exit code, output; before these folder, busy, empty, python (see reply.py).
trap '' PIPE HUP INT
work=$1 token=$2 running=$3 probe=$4 now=$5 again=$6 cancelled=$7 ranges=$8 campaign=$9 known=${10} given_up=${11}
mkdir -p "$work" || die "cannot make the work_dir $work"
work=$(cd "$work" && pwd -P) || die "cannot enter the work_dir $1"
[ -w "$work" ] || die "the work_dir $work is not writable"
bundle=$work/$token
printf 'folder\t%s\n' "$bundle"

# Only one process at a time may work on a bundle. Its claim is a link to what identifies the process: its number, when it
# began, the machine; host name and time are for messages. Whether a process of this machine still runs can be seen; a claim of
# another machine counts while it is renewed.
claim=$work/.claim-$token
me="$(uname -n) $$:$(born $$) $(machine) $(date +%Y-%m-%dT%H:%M:%S%z)"
claimed=''
for _ in 1 2 3 4 5; do
  if message=$(ln -s "$me" "$claim" 2>&1); then claimed=1; break; fi
  holder=$(readlink "$claim" 2>/dev/null) || continue   # the claim has just been released
  busy=''
  process=${holder#* } process=${process%% *}
  case $holder in
    *" $(machine) "*) alive "$process" && busy=1 ;;
    *) busy=$(find "$claim" -prune -mmin -10 2>/dev/null) ;;
  esac
  if [ -n "$busy" ]; then printf 'busy\tprocess %s on %s, since %s\n' "${process%%:*}" "${holder%% *}" "${holder##* }"; exit 0; fi
  mv "$claim" "$claim.$$" 2>/dev/null && rm -f "$claim.$$"
done
[ -n "$claimed" ] || die "cannot write in the work_dir $work (is the disk full?): $message"
(while sleep 20 && kill -0 $$ && touch -h "$claim"; do :; done) </dev/null >/dev/null 2>&1 &
renewer=$!
trap 'kill "$renewer" 2>/dev/null; rm -f "$claim"' EXIT
refuse_unsafe "$work" "$claim"

# Prints large file $1: its ranges, joined.
joined() {
  printf '%s\n' "$ranges" | while read -r file range count; do
    [ "$file" != "$1" ] || head -c "$count" "$staged/$range" || exit
  done
}
# Puts large file $1, of $2 bytes, where the tar has an empty file for it. A file of one range is moved, not copied.
put_large() {
  target=$(cat ".large/$1" && echo /) && target=./${target%/} || return
  if [ "$(printf '%s\n' "$ranges" | grep -c "^$1 ")" -eq 1 ]; then
    range=$(printf '%s\n' "$ranges" | sed -n "s/^$1 \([^ ]*\) $2\$/\1/p")
    [ ! -x "$target" ] || chmod 700 "$staged/$range"
    mv "$staged/$range" "$target"
  else
    joined "$1" >"$target"
  fi && [ "$(($(wc -c <"$target")))" -eq "$2" ]
}

# The bundles of a campaign are noted in a folder, so that jobs which a lost ledger has submitted do not run twice.
if [ -n "$campaign" ] && [ ! -e "$bundle/.scheduler" ]; then
  unknown=''
  for other in "$work/.campaigns/$campaign"/*; do
    other=${other##*/}
    case " $known $token " in *" $other "*) continue ;; esac
    [ ! -e "$work/$other/.scheduler" ] || unknown="$unknown $other"
  done
  if [ -n "$unknown" ]; then printf 'unknown\t%s\n' "$unknown"; exit 0; fi
fi

staged=$work/.staged-$token
if [ ! -e "$bundle/.scheduler" ]; then
  incoming=$work/.incoming-$token
  rm -rf "$incoming"
  mkdir "$incoming" || die "cannot make a folder in $work"
  words=$({
    case $ranges in
      *bundle*) joined bundle | tar -xzmf - -C "$incoming" ;;
      *) tar -xzmf - -C "$incoming" ;;
    esac
  } 2>&1) || {
    rm -rf "$incoming"
    die "cannot unpack the bundle in $work: $(printf '%s\n' "$words" | head -n 1). If the disk or your quota is full: free some space, or set another work_dir"
  }
  if [ ! -e "$incoming/.scheduler" ]; then rm -rf "$incoming"; printf 'empty\t\n'; exit 0; fi
  if [ -d "$incoming/.large" ]; then
    cd "$incoming" || die "cannot enter $incoming"
    while read -r number size; do
      put_large "$number" "$size" || die "a large file of the bundle is incomplete in $work (is the disk full?)"
    done <.large/list
    rm -rf .large
    cd "$work" || die "cannot enter $work"
  fi
  [ -z "$campaign" ] || { mkdir -p "$work/.campaigns/$campaign" && : >"$work/.campaigns/$campaign/$token"; } ||
    die "cannot write in the work_dir $work (is the disk full?)"
  mv "$incoming" "$bundle" || die "cannot rename the unpacked bundle to $bundle"
else
  cat >/dev/null
fi
rm -rf "$staged"
cd "$bundle" || die "cannot enter $bundle"

if [ -n "$probe" ]; then
  has=$(sh -c "$probe" 2>&1 </dev/null) || has="an error: $has"
  printf 'python\t%s\n' "$(printf %s "$has" | tail -n 1)"
  if [ "$has" != "$(cat needs-python)" ]; then   # remove the bundle, unless something of it was submitted
    cd "$work" && ! ls "$bundle"/batches/*/tried >/dev/null 2>&1 && [ -e "$bundle/.scheduler" ] && rm -rf "$bundle"
    exit 0
  fi
fi

[ -z "$cancelled" ] || numbered "$cancelled" | withdraw_elements "$bundle"
# Succeeds if all elements of the batch $1 are withdrawn: none of them has started or can start.
all_withdrawn() {
  [ -n "$(ls guards)" ] || return
  elements_of "$1" | (
    cd guards || exit
    while read -r element; do
      case $(readlink "$element") in cancelled | cancelled/*) ;; *) exit 1 ;; esac
    done
  )
}
some_started() {
  elements_of "$1" | (
    while read -r element; do
      case $(readlink "guards/$element") in '' | cancelled | cancelled/*) ;; *) exit 0 ;; esac
    done
    exit 1
  )
}
elements_of() {
  if [ -e "batches/$1/members" ]; then cut -f 1 "batches/$1/members"
  else awk -v first="$1" '$1 == first { for (i = 0; i < $2; i++) print first + i }' batches/list; fi
}
# What the batch system printed when batch $1 was submitted last: errors, then output.
last_words() { cat "batches/$1/err" "batches/$1/out" 2>/dev/null | head -c 2000 | tr '\n\t' '\r '; }
[ -z "$given_up" ] || for first in $(numbered "$given_up"); do
  some_started "$first" || elements_of "$first" | withdraw_elements "$bundle"
  ! all_withdrawn "$first" || printf '%s\tgiven up %s\t%s\n' "$first" "$(cat "batches/$first/code" 2>/dev/null)" "$(last_words "$first")"
done

# `earlier` has the jobs of which an attempt before may still wait or run: element; the bundle of that attempt, and its
# element there. Its guard is taken, so that it can never begin. If it began and has no end, this attempt must not begin, and
# `held` has it. If it has ended, the batch system may not begin it once more. This is decided once.
has_ended() {
  ended=''
  for file in "$1/ends/$2".*; do
    case ${file##*/} in
      "$2".run.*) [ -e "$1/ends/$2.${file##*.}" ] || return 1 ;;
      *) [ ! -e "$file" ] || ended=1 ;;
    esac
  done
  [ -n "$ended" ]
}
withdraw_earlier() {
  while IFS=$tab read -r element folder before; do
    case $folder in /*) ;; *) folder=$work/$folder ;; esac
    [ -d "$folder/guards" ] || continue
    guard=$folder/guards/$before
    ln -s "cancelled/$before" "$guard" 2>/dev/null
    holder=$(readlink "$guard")
    case $holder in
      cancelled | cancelled/*) ;;
      '') printf '%s\tcannot write in %s\n' "$element" "$folder" ;;
      *) if has_ended "$folder" "$before"; then ln -s "cancelled/$before" "$guard.$$" && mv -f "$guard.$$" "$guard"
        else printf '%s\tit began as %s and has no end\n' "$element" "$holder"; fi ;;
    esac
  done
}
if [ -s earlier ]; then
  if [ ! -e held ]; then
    withdraw_earlier <earlier >.held || die "cannot write in $bundle (is the disk full?)"
    [ ! -s .held ] || cut -f 1 .held | withdraw_elements "$bundle"
    while IFS=$tab read -r element _; do
      [ -L "guards/$element" ] || die "cannot write in $bundle (is the disk full?)"
    done <.held
    mv .held held || die "cannot write in $bundle (is the disk full?)"
  fi
  sed "s/^/held$tab/" held
fi

# The bundle of a retry does not contain the files of its jobs. `copies` has, for each element, the bundle and the element of
# the earlier attempt, and the first element of its batch there. Its files are copied, but not what the earlier attempt wrote.
# The link `shared` leads to the files that were sent with the first attempt.
copy_element() {
  from=$2/$3 to=$1
  [ ! -e "$2/batches/$4/index" ] || pauses='' unpack_element "$2" "$4" "$3" || return 70
  if [ ! -e "$2/.scheduler" ] || [ ! -s "$from/script.sh" ]; then echo "the folder of the earlier attempt, $from, no longer exists"; return 66; fi
  set --
  for file in "$from/shared" ./shared; do [ ! -L "$file" ] || { set -- "$file"; break; }; done
  for file in "$from"/*; do
    case ${file##*/} in stdout.* | stderr.* | dir | result.json | error.json | cannot | began.* | shared | script.sh) continue ;; esac
    set -- "$@" "$file"
  done
  [ ! -e "./$to" ] || rm -rf "./$to"
  mkdir "./$to" && cp -RP "$@" "./$to/" &&
    sed "1,/^element=[0-9][0-9]*\$/s/^element=[0-9][0-9]*\$/element=$to/" "$from/script.sh" >"$to/script.sh" || return 70
}
copy_batch() {
  [ -e copies ] && [ ! -e "batches/$1/copied" ] || return 0
  awk -F '\t' -v first="$1" -v count="$2" '$1 >= first && $1 < first + count' copies >"batches/$1/copies" || return 70
  linked=''
  while IFS=$tab read -r element folder earlier earlier_first; do
    if [ "$folder" != "$linked" ]; then
      linked=$folder
      rm -f shared
      [ ! -d "$folder/shared" ] || ln -s "$folder/shared" shared || return 70
    fi
    copy_element "$element" "$folder" "$earlier" "$earlier_first" || return
  done <"batches/$1/copies"
  rm -f shared
  without=$(cut -f 1 "batches/$1/copies" | sed 's/$/\/script.sh/' | xargs grep -L '^element=[0-9][0-9]*$' | head -n 1)
  [ -z "$without" ] || { echo "$without: the script of the earlier attempt has no line element="; return 66; }
  : >"batches/$1/copied"
}

# Submits each batch: its first element, how many elements, the script. The output of the batch system is kept beside the
# script, and the id gets its name by rename. The reply is printed from memory: on a full disk it is the only copy. If the
# command fails and prints an id all the same, the batch may have been accepted: its exit code is recorded as "-".
batch_prepare "$running"
awk -F '\t' -v now="$now" -v again="$again" "$awk_numbers"'BEGIN { numbers(now, may); numbers(again, twice) }
  ($1 + 0) in may { print $0 "\t" (($1 + 0) in twice ? "again" : "once") }' batches/list |
while IFS=$tab read -r first count script how; do
  b=batches/$first
  code='' output=''
  id=$(batch_id 2>/dev/null <"$b/id")
  if [ -z "$id" ] && { [ ! -e "$b/tried" ] || [ "$how" = again ]; } && ! all_withdrawn "$first"; then
    jobs=$count   # for a pack the count is 1, and its jobs are listed in `members`
    [ ! -e "$b/members" ] || jobs=$(($(wc -l <"$b/members")))
    output=$(copy_batch "$first" "$jobs" 2>&1)
    code=$?
    if [ "$code" -ne 0 ]; then printf '%s\t%s\t%s\n' "$first" "$code" "$(printf %s "$output" | tr '\n\t' '\r ')"; continue; fi
    code='' output=''
    { date >"$b/tried" && [ -s "$b/tried" ]; } 2>/dev/null || { rm -f "$b/tried"; printf '%s\t-\tcannot write in %s (is the disk full?)\n' "$first" "$bundle"; continue; }
    output=$({ batch_submit "$script" "$first" "$count" 2>"$b/err" </dev/null; printf '%s' "x$?"; })
    code=${output##*x} output=${output%x*}
    id=$(printf '%s\n' "$output" | batch_id)
    if [ "$code" -eq 0 ] && [ -n "$id" ]; then
      { printf '%s\n' "$id" >"$b/out" && mv "$b/out" "$b/id"; } 2>/dev/null
      printf '%s\t0\t%s\n' "$first" "$id"
      continue
    fi
    [ -z "$id" ] || code=- id=''
    { printf '%s' "$output" >"$b/out"; printf '%s\n' "$code" >"$b/code"; } 2>/dev/null
  fi
  if [ -n "$id" ]; then
    printf '%s\t0\t%s\n' "$first" "$id"
  elif [ -n "$code" ] || [ -s "$b/code" ]; then
    printf '%s\t%s\t%s\n' "$first" "${code:-$(cat "$b/code")}" "$({ cat "$b/err" 2>/dev/null; [ -z "$output" ] && cat "$b/out" 2>/dev/null || printf %s "$output"; } | head -c 2000 | tr '\n\t' '\r ')"
  fi
done
batch_submitted
