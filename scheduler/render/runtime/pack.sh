# Runs the jobs of a pack, which share a node, side by side. The script of the batch sources this file after it has set
#   bundle    the folder of the submission         first  the first job: batches/$first/members has a line for each job
#   batch_id  the id of the batch                         (number, walltime in seconds or 0, cores), separated by tabs
# and core_variables. Each job has its own script, guard, folder, logs and end file; no job affects another one.
# If we end a job, batches/$first/member.NUMBER has the reason, in the words that Slurm uses.
umask 077
pack=$bundle/batches/$first
grace=5   # seconds between TERM and KILL
alive=''   # number:process:deadline:time of KILL

: >"$pack/begun"

# Whether job $1 is not to be started: it was cancelled, exceeded its walltime, or ended by itself before a requeue.
is_over() {
  [ -s "$pack/member.$1" ] || grep -qsE '^[0-9]+ [0-9]+ exit=([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]) signal= ' "$bundle/ends/$1".*
}

# Starts a job in the background.
#   $1 number  $2 walltime in seconds, or 0  $3 cores
start_job() {
  element=$1
  (
    # shellcheck disable=SC2086
    trap '' $others   # until its script passes them on
    OMP_NUM_THREADS=$3 NCPUS=$3
    export OMP_NUM_THREADS NCPUS
    for name in $core_variables; do export "$name=$3"; done
    unpack_element "$bundle" "$first" "$element" || exit   # it has printed why
    # shellcheck disable=SC1090
    . "$bundle/$element/script.sh"
  ) </dev/null &
  until=9999999999
  [ "$2" -eq 0 ] || until=$(($(date +%s) + $2))
  alive="$alive $element:$!:$until:0"
}

# Records that we end a job.
#   $1 number  $2 " DUE TO TIME LIMIT", or empty for a cancelled job
record_reason() {
  printf 'scheduler: job %s of %s CANCELLED AT %s%s\n' "$1" "$batch_id" "$(date -u +%Y-%m-%dT%H:%M:%S)" "$2" >>"$pack/member.$1"
}

# Writes the end file of a job whose script was killed before it could, unless another copy of this batch runs the job.
#   $1 number  $2 process
write_end() {
  wait "$2" 2>/dev/null
  code=$?
  [ "$code" -ne 0 ] && [ "$(readlink "$bundle/guards/$1")" = "$batch_id" ] || return 0
  # shellcheck disable=SC2012
  attempt=$(QUOTING_STYLE=literal ls -t "$bundle/$1"/stdout.* 2>/dev/null | sed -n '1s/.*\.//p')
  end=ends/$1.${attempt:-0}
  [ ! -e "$bundle/$end" ] || return 0
  printf '%s %s exit=%s signal= started= ended=%s host=%s id=%s missing= cannot=\n' \
    "$1" "${attempt:-0}" "$code" "$(date +%s)" "$(uname -n)" "$batch_id" >"$bundle/ends/.$1.written" && mv "$bundle/ends/.$1.written" "$bundle/$end"
}

# Sends the signal $1 to the scripts of all jobs. A trap calls it at any time, so its variable is its own.
pass_on() {
  for target in $alive; do
    target=${target#*:}
    kill -s "$1" "${target%%:*}" 2>/dev/null
  done
}
others=$(other_signals)
for name in TERM INT XCPU $others; do
  # shellcheck disable=SC2064
  trap "pass_on $name" "$name"
done

# shellcheck disable=SC2034
while IFS=$(printf '\t') read -r element seconds cores; do
  is_over "$element" || start_job "$element" "$seconds" "$cores"
done <"$pack/members"

while [ -n "$alive" ]; do
  # Of two signals that arrive together, bash forgets one while it is in `wait`.
  if [ -n "$BASH_VERSION" ]; then { sleep 1; } 2>/dev/null; else
    sleep 1 &
    wait "$!"
  fi
  now=$(date +%s) left=''
  for member in $alive; do
    element=${member%%:*} rest=${member#*:}
    process=${rest%%:*} rest=${rest#*:}
    until=${rest%%:*} last=${rest#*:}
    if ! kill -0 "$process" 2>/dev/null; then write_end "$element" "$process"; continue; fi
    why=no
    if [ -e "$pack/cancel/$element" ]; then why=''; elif [ "$now" -ge "$until" ]; then why=' DUE TO TIME LIMIT'; fi
    if [ "$last" -eq 0 ] && [ "$why" != no ]; then
      record_reason "$element" "$why"
      kill -s TERM "$process"
      last=$((now + grace))
    elif [ "$last" -gt 0 ] && [ "$now" -ge "$last" ]; then
      # shellcheck disable=SC2046
      kill -s KILL $(family "$process") "$process" 2>/dev/null
    fi
    left="$left $element:$process:$until:$last"
  done
  alive=$left
done
: >"$pack/ended"
exit 0
