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
# copy that runs leaves a link with its id. A copy with another id ends here. The same id is a requeue. The link of a job
# that was cancelled before it started leads to `cancelled`.
if ! ln -s "$batch_id" "$guard" 2>/dev/null; then
  first=$(readlink "$guard") || { echo "scheduler: cannot write in $bundle; the payload was not started" >&2; exit 73; }
  case $first in cancelled | cancelled/*)
    line="scheduler: job $element CANCELLED AT $(date -u +%Y-%m-%dT%H:%M:%S) before it began"
    if [ -e "${pack:-}/members" ]; then printf '%s\n' "$line" >>"$pack/member.$element"; else printf '%s\n' "$line"; fi
    printf '%s %s exit=143 signal=TERM started= ended=%s host=%s id=cancelled missing= cannot=\n' "$element" "$attempt" "$(date +%s)" \
      "$(uname -n)" >"$bundle/ends/.$element.cancelled" && mv "$bundle/ends/.$element.cancelled" "$bundle/ends/$element.$attempt"
    exit 0
  esac
  if [ "$first" != "$batch_id" ]; then
    echo "scheduler: $first already runs this job; this second copy, $batch_id, ends here"
    exit 0
  fi
  if [ -e "$bundle/ends/$element.$attempt" ] || grep -qs '^[0-9]* [0-9]* exit=0 signal= ' "$bundle/ends/$element".*; then
    echo "scheduler: this job has already finished; it is not run again"
    exit 0
  fi
fi

signal='' child='' missing='' killed=''
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
[ "$attempt" = 0 ] || : >"$bundle/ends/$element.run.$attempt"   # a poll reports that the job was requeued

# Writes the end file (one line; complete or not at all, by rename) and ends.
#   $1 exit code
finish() {
  line=$(printf '%s %s exit=%s signal=%s started=%s ended=%s host=%s id=%s killed=%s missing=%s cannot=%s' "$element" "$attempt" \
    "$1" "$signal" "$started_at" "$(date +%s)" "$(uname -n)" "$batch_id" "$killed" "$missing" "$(head -c 400 "$control/cannot" 2>/dev/null | tr '\n' ' ')")
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
# Passes a signal on to the payload. One that ends the job is recorded, and the descendants of the payload get it too.
caught() {
  interrupted=1
  case $1 in TERM | INT | XCPU) signal=$1 ;; esac
  [ -n "$child" ] || return 0
  to=$child
  case $1 in TERM | INT | XCPU) to="$child $(family "$child")" ;; esac
  # shellcheck disable=SC2086
  kill -s "$1" $to 2>/dev/null
}
caught_signals="TERM INT XCPU $(other_signals)"
for name in $caught_signals; do
  # shellcheck disable=SC2064
  trap "caught $name" "$name"
done

# At the end of `wait`, a shell prints a message if a signal has killed the process, and none if it has exited with the same
# code, 128 + n. Bash prints none for a signal that has a trap, and no shell does if a trap has interrupted `wait`.
notice=/dev/null
# shellcheck disable=SC2188
if (: >"$control/notice") 2>/dev/null; then notice=$control/notice; fi
exec 3>"$notice"

# Records why the container of a payload did not start: the message of its runtime.
container_failed() {
  { read -r what; read -r run; } <"$control/starting"
  words=$(sed -n '/^FATAL:   /p' "$err" | tail -n 1)
  [ -n "$words" ] || [ -z "$run" ] || return 0   # an image's own run script has started, and ended with this code
  [ -n "$words" ] || words=$(tail -n 1 "$err")
  words=${words:-it printed no message}
  printf '%s: %s\n' "$what" "$words" >"$control/cannot" && code=72
}

begin_payload() {
  (
    # shellcheck disable=SC2086
    trap - $caught_signals
    payload
  ) >"$out" 2>"$err" </dev/null 3>&- &
  child=$!
}
# For bash: begins the payload, waits for it, and prints its process and its exit code.
watch_payload() {
  # shellcheck disable=SC2086
  trap '' $caught_signals
  begin_payload
  echo "$child"
  wait "$child" 2>&3
  echo "$?"
}
# Of two signals that arrive together, bash forgets one while it is in `wait`, and a `wait` that a signal interrupts may lose
# the exit code (observed on bash 5.2). It does neither in `read`. With -t it is in select(2) there, from which WINCH wakes it
# too; older ones use ALRM for -t.
run_in_bash() {
  child='' code=''
  eval 'exec 4< <(watch_payload)'
  # shellcheck disable=SC3045
  until [ -n "$child" ]; do read -r -t 60 child <&4 || [ "$?" -gt 128 ] || break; done
  [ -z "$signal" ] || caught "$signal"   # it came before the payload
  # shellcheck disable=SC3045
  until [ -n "$code" ]; do read -r -t 60 code <&4 || [ "$?" -gt 128 ] || code=${code:-137}; done
  exec 4<&-
  [ ! -s "$notice" ] || killed=1
}
run_in_sh() {
  begin_payload
  [ -z "$signal" ] || caught "$signal"
  code=''
  while :; do
    interrupted=''
    wait "$child"
    new=$?
    # 127 (bash 5.2: -1): the payload is unknown, because the wait that a signal interrupted has collected it.
    case $new in 127 | -1) code=${code:-$new} ;; *)
      code=$new
      if [ -s "$notice" ]; then killed=1; elif [ -z "$killed$interrupted$BASH_VERSION" ] && [ "$notice" != /dev/null ]; then killed=0; fi ;;
    esac
    [ -n "$interrupted" ] || break
    killed=unknown
  done 2>&3
}

rm -f "$control/cannot" "$control/starting"
if mkdir -p "$dir" 2>/dev/null && cd "$dir"; then
  rm -f ./result.json   # it is from an earlier run in the same folder
  case $BASH_VERSION in
    5.[2-9]* | 5.1[0-9]* | [6-9].* | [1-9][0-9].*) if [ -d /dev/fd ]; then run_in_bash; else run_in_sh; fi ;;
    *) run_in_sh ;;
  esac
  child='' killed=${killed#unknown}
  case $signal$code in 255 | [1-9] | [1-9][0-9] | 1[01][0-9] | 12[0-8]) [ ! -s "$control/starting" ] || container_failed ;; esac
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
