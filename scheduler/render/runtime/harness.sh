# Runs `payload` once and proves how it ended. Sourced by every job's script, which has set:
#   bundle    the folder of its submission        element  its number there; "$bundle/$element" is its control folder
#   batch_id  its id in the batch system          attempt  0, or how often the batch system has requeued it
# and the function `payload`. What outputs.sh of the element adds: dir, the folder it runs in, and the function `outputs`.
# The payload runs in the background and is waited for: a trap on EXIT around a payload in the foreground would say 0
# for a job that was cancelled or ran out of time.
umask 077
control=$bundle/$element
guard=$bundle/guards/$element
shared=$bundle/shared
[ ! -d "$control/shared" ] || shared=$control/shared   # a later attempt: what was sent with the first one
# shellcheck disable=SC1091
. "$control/outputs.sh" || exit 73

# A controller may accept a job while it says that it failed, so that the same script is handed over twice. The first
# copy to run leaves a link that names its id; another id ends here, harmlessly. The same id again is a requeue.
if ! ln -s "$batch_id" "$guard" 2>/dev/null; then
  first=$(readlink "$guard") || { echo "scheduler: cannot write in $bundle; the payload was not begun" >&2; exit 73; }
  if [ "$first" != "$batch_id" ]; then
    echo "scheduler: $first runs this job already; this second copy, $batch_id, ends here"
    exit 0
  fi
  if [ -e "$bundle/ends/$element.$attempt" ] || grep -qs '^[0-9]* [0-9]* exit=0 signal= ' "$bundle/ends/$element".*; then
    echo "scheduler: this job has ended already; it is not run again"
    exit 0
  fi
fi

signal=''
begun=$(date +%s)
out=$control/stdout.$attempt err=$control/stderr.$attempt

# The place of the end file is taken now: on a disk that is full by then a job could not tell how it ended.
told=$bundle/ends/.$element.$attempt
for pause in 1 2 5 10 20 0; do
  { printf '%1500s\n' '' >"$told"; } 2>/dev/null && break
  rm -f "$told"
  [ "$pause" != 0 ] || { echo "scheduler: cannot write in $bundle (is the disk full?); the payload was not begun" >&2; exit 73; }
  sleep "$pause"
done

# One line, written beside and renamed: it is there whole, or not at all.
finish() {
  line=$(printf '%s %s exit=%s signal=%s started=%s ended=%s host=%s id=%s missing=%s cannot=%s' "$element" "$attempt" \
    "$1" "$signal" "$begun" "$(date +%s)" "$(uname -n)" "$batch_id" "$missing" "$(head -c 400 "$control/cannot" 2>/dev/null | tr '\n' ' ')")
  printf '%-1500s\n' "$line" 1<>"$told" && mv "$told" "$bundle/ends/$element.$attempt"
  exit "$1"
}

# For the payload: say in plain words why it cannot even begin.
cannot_start() {
  printf '%s\n' "$*" >"$control/cannot"
  printf 'scheduler: %s\n' "$*" >&2
  exit 72
}

# For `outputs`: its number, the pattern as the user wrote it, then what the shell made of it.
output() {
  pattern=$2
  shift 2
  for found do [ -e "$found" ] && return; done
  missing=${missing:-$pattern}
}
caught() {
  again=1
  [ "$1" = USR1 ] || signal=$1
  [ -n "$child" ] || return 0
  to=$child
  [ "$1" = USR1 ] || to="$child $(family "$child")"   # a warning is for the payload alone
  # shellcheck disable=SC2086
  kill -s "$1" $to 2>/dev/null
}
child='' missing=''
for name in TERM INT XCPU USR1; do
  # shellcheck disable=SC2064
  trap "caught $name" "$name"
done

rm -f "$control/cannot"
if mkdir -p "$dir" 2>/dev/null && cd "$dir"; then
  rm -f ./result.json   # of an earlier run in the same folder: it is not this one's
  (
    trap - TERM INT XCPU USR1
    payload
  ) >"$out" 2>"$err" </dev/null &
  child=$!
  code=''
  while :; do
    again=''
    wait "$child"
    new=$?
    # Not known any more (127; bash 5.2 says -1): it was collected by the wait that a signal cut short.
    case $new in 127 | -1) code=${code:-$new} ;; *) code=$new ;; esac
    [ -n "$again" ] || break
  done
else
  echo "cannot make or enter the job's folder $dir" >"$control/cannot"
  code=72
fi
[ "$code" -ne 0 ] || outputs
missing=$(printf %s "$missing" | tr '\n ' '??')
finish "$code"
