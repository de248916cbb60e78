# Runs jobs that share a node, side by side. Sourced by the script of their batch, which has set:
#   bundle    the folder of their submission       first  the first of them: batches/$first/members has a line for each
#   batch_id  the node's id in the batch system           (element, seconds that it may run or 0, cores), parted by tabs
# Each has its own script, and with it its own guard, folder, logs and end file; what becomes of one concerns no other.
# Whom we end ourselves, and why, is said in batches/$first/member.ELEMENT, in the words that a batch system uses.
umask 077
pack=$bundle/batches/$first
grace=5   # so many seconds after TERM comes KILL
alive=''   # element:process:deadline:when to kill

: >"$pack/begun"

# It will not be begun, again or at all: it was cancelled or ran out of time, or ended by itself before a requeue.
over() {
  [ -s "$pack/member.$1" ] || grep -qsE '^[0-9]+ [0-9]+ exit=([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]) signal= ' "$bundle/ends/$1".*
}

begin() {
  element=$1
  (
    OMP_NUM_THREADS=$3 NCPUS=$3
    export OMP_NUM_THREADS NCPUS
    for name in $core_variables; do export "$name=$3"; done
    unpack_element "$bundle" "$first" "$element" || exit   # it has said why
    # shellcheck disable=SC1090
    . "$bundle/$element/script.sh"
  ) </dev/null &
  until=9999999999
  [ "$2" -eq 0 ] || until=$(($(date +%s) + $2))
  alive="$alive $element:$!:$until:0"
}

say() {
  printf 'scheduler: job %s of %s CANCELLED AT %s%s\n' "$1" "$batch_id" "$(date -u +%Y-%m-%dT%H:%M:%S)" "$2" >>"$pack/member.$1"
}

# One whose script was killed could not tell its end: it is told for it, unless another copy of this batch runs it.
gone() {
  wait "$2"
  code=$?
  [ "$code" -ne 0 ] && [ "$(readlink "$bundle/guards/$1")" = "$batch_id" ] || return 0
  # shellcheck disable=SC2012
  attempt=$(ls -t "$bundle/$1"/stdout.* 2>/dev/null | sed -n '1s/.*\.//p')
  end=ends/$1.${attempt:-0}
  [ ! -e "$bundle/$end" ] || return 0
  printf '%s %s exit=%s signal= started= ended=%s host=%s id=%s missing= cannot=\n' \
    "$1" "${attempt:-0}" "$code" "$(date +%s)" "$(uname -n)" "$batch_id" >"$bundle/ends/.$1.told" && mv "$bundle/ends/.$1.told" "$bundle/$end"
}

pass_on() {
  for told in $alive; do
    told=${told#*:}
    kill -s "$1" "${told%%:*}" 2>/dev/null
  done
}
for name in TERM INT XCPU USR1; do
  # shellcheck disable=SC2064
  trap "pass_on $name" "$name"
done

# shellcheck disable=SC2034
while IFS=$(printf '\t') read -r element seconds cores; do
  over "$element" || begin "$element" "$seconds" "$cores"
done <"$pack/members"

while [ -n "$alive" ]; do
  sleep 1 &
  wait "$!"
  now=$(date +%s) left=''
  for member in $alive; do
    element=${member%%:*} rest=${member#*:}
    process=${rest%%:*} rest=${rest#*:}
    until=${rest%%:*} last=${rest#*:}
    if ! kill -0 "$process" 2>/dev/null; then gone "$element" "$process"; continue; fi
    why=no
    if [ -e "$pack/cancel/$element" ]; then why=''; elif [ "$now" -ge "$until" ]; then why=' DUE TO TIME LIMIT'; fi
    if [ "$last" -eq 0 ] && [ "$why" != no ]; then
      say "$element" "$why"
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
