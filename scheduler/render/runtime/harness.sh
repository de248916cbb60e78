# Runs `payload` once and proves how it ended. Every job's script sources this file after it has set
#   bundle    the folder of the submission    element  the number of the job; its control folder is "$bundle/$element"
#   batch_id  its id in the batch system      attempt  how often the batch system has requeued it
# and the function `payload`. outputs.sh of the job sets dir, the folder where it runs, and the function `outputs`.
# The payload runs in the background, and this script waits for it: a trap on EXIT around a payload in the foreground
# would report 0 for a job that was cancelled or exceeded its walltime.
umask 077
control=$bundle/$element
guard=$bundle/guards/$element
shared=$bundle/shared
[ ! -d "$control/shared" ] || shared=$control/shared   # a retry uses the files of the first attempt
# shellcheck disable=SC1091
. "$control/outputs.sh" || exit 73

# A batch system may report an error and accept the job all the same: then the same script is submitted twice. The first
# copy that runs leaves a link with its id. A copy with another id ends here. The same id is a requeue.
if ! ln -s "$batch_id" "$guard" 2>/dev/null; then
  first=$(readlink "$guard") || { echo "scheduler: cannot write in $bundle; the payload was not started" >&2; exit 73; }
  if [ "$first" != "$batch_id" ]; then
    echo "scheduler: $first already runs this job; this second copy, $batch_id, ends here"
    exit 0
  fi
  if [ -e "$bundle/ends/$element.$attempt" ] || grep -qs '^[0-9]* [0-9]* exit=0 signal= ' "$bundle/ends/$element".*; then
    echo "scheduler: this job has already finished; it is not run again"
    exit 0
  fi
fi

signal=''
started_at=$(date +%s)
out=$control/stdout.$attempt err=$control/stderr.$attempt

# The end file is allocated now: if the disk were full later, the job could not record how it ended.
end_file=$bundle/ends/.$element.$attempt
for pause in 1 2 5 10 20 0; do
  { printf '%1500s\n' '' >"$end_file"; } 2>/dev/null && break
  rm -f "$end_file"
  [ "$pause" != 0 ] || { echo "scheduler: cannot write in $bundle (is the disk full?); the payload was not started" >&2; exit 73; }
  sleep "$pause"
done

# Writes the end file (one line; complete or not at all, by rename) and ends.
#   $1 exit code
finish() {
  line=$(printf '%s %s exit=%s signal=%s started=%s ended=%s host=%s id=%s missing=%s cannot=%s' "$element" "$attempt" \
    "$1" "$signal" "$started_at" "$(date +%s)" "$(uname -n)" "$batch_id" "$missing" "$(head -c 400 "$control/cannot" 2>/dev/null | tr '\n' ' ')")
  printf '%-1500s\n' "$line" 1<>"$end_file" && mv "$end_file" "$bundle/ends/$element.$attempt"
  exit "$1"
}

# For the payload: ends it with the reason why it cannot start.
cannot_start() {
  printf '%s\n' "$*" >"$control/cannot"
  printf 'scheduler: %s\n' "$*" >&2
  exit 72
}

# For `outputs`: records a declared output that does not exist. One that cannot be read is reported when it is collected.
#   $1 number  $2 the pattern as the user wrote it  $3, $4 the pattern as glob.sh compares it
declared() {
  exists=''
  matching . "$3" "$4"
  [ -n "$exists" ] || missing=${missing:-$2}
}
hit() { exists=1; }
unreadable() { exists=1; }
follows() { :; }
# Passes a signal on to the payload and its descendants; USR1, a warning, to the payload alone.
caught() {
  interrupted=1
  [ "$1" = USR1 ] || signal=$1
  [ -n "$child" ] || return 0
  to=$child
  [ "$1" = USR1 ] || to="$child $(family "$child")"
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
  rm -f ./result.json   # it is from an earlier run in the same folder
  (
    trap - TERM INT XCPU USR1
    payload
  ) >"$out" 2>"$err" </dev/null &
  child=$!
  code=''
  while :; do
    interrupted=''
    wait "$child"
    new=$?
    # 127 (bash 5.2: -1): the payload is unknown, because the wait that a signal interrupted has collected it.
    case $new in 127 | -1) code=${code:-$new} ;; *) code=$new ;; esac
    [ -n "$interrupted" ] || break
  done
else
  echo "cannot make or enter the job's folder $dir" >"$control/cannot"
  code=72
fi
# A function that ended its process with exit code 0 (os._exit, exec) has left no result.
if [ "$code" -eq 0 ] && [ -f "$control/function/call.json" ] && [ ! -f "$control/result.json" ] && [ ! -f "$control/result.pkl" ]; then
  [ -f "$control/error.json" ] || echo "error: the process of the function ended with exit code 0 before the function returned" >>"$err"
  code=1
fi
[ "$code" -ne 0 ] || { LC_ALL=C; outputs; }
missing=$(printf %s "$missing" | tr '\n ' '??')
finish "$code"
