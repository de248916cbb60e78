# Unpacks a bundle and hands its batches to the batch system, each at most once. It goes on when the line is cut.
#   $1 work folder  $2 token  $3 how many run at once (shell only)  $4 Python that pickles need, or empty
#   $5 "again": batches that were tried without an answer may be tried once more (their scripts run once all the same)
#   $6 what has been staged of it, a line a piece, in order: whose it is (a large file's number, or "bundle"), its name,
#      how much of it
# Reads the bundle as a gzipped tar (nothing, if it was unpacked before, or staged). Prints a line a batch: first, exit
# code, words.
trap '' PIPE HUP INT
work=$1 token=$2 running=$3 needs=$4 again=$5 pieces=$6
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
  case $pieces in
    *bundle*) joined bundle | tar -xzf - -C "$incoming" ;;
    *) tar -xzf - -C "$incoming" ;;
  esac || die "cannot unpack the bundle in $work"
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

# A batch: its first element, how many, the script. What was said is kept beside it; the id appears by rename.
while IFS=$tab read -r first count script; do
  b=batches/$first
  if [ ! -e "$b/id" ] && { [ ! -e "$b/tried" ] || [ -n "$again" ]; }; then
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
