# A worker of a machine without a batch system: runs jobs of the queue, one after the other, until the queue is empty.
#   $1 the folder of queue, running and slots  $2 the slot of this worker
base=$1 slot=$2
umask 077
born() {
  if [ -r "/proc/$1/stat" ]; then
    printf '%s.%s' "$(cat /proc/sys/kernel/random/boot_id)" "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"
  else
    LC_ALL=C ps -o lstart= -p "$1" 2>/dev/null | tr -c 'A-Za-z0-9:\n' '.'
  fi
}
me=$$:$(born $$)

take_slot() {
  ln -s "$me" "$base/slots/$slot" 2>/dev/null && return
  holder=$(readlink "$base/slots/$slot") || return
  kill -0 "${holder%%:*}" 2>/dev/null && [ "$(born "${holder%%:*}")" = "${holder#*:}" ] && return 1
  mv "$base/slots/$slot" "$base/new/slot.$slot.$$" 2>/dev/null && rm -f "$base/new/slot.$slot.$$"
  ln -s "$me" "$base/slots/$slot" 2>/dev/null
}

# A job that an earlier worker of this slot claimed returns to the queue if it was not started. A started job has a guard.
put_back() {
  [ -s "$base/new/taken.$slot" ] || return 0
  { read -r bundle && read -r element; } <"$base/new/taken.$slot"
  begun=$bundle/guards/$element
  [ ! -e "$bundle/batches/$element/members" ] || begun=$bundle/batches/$element/begun
  withdrawn=''
  case $(readlink "$begun") in cancelled | cancelled/*) withdrawn=1 ;; esac   # its script finds that, and ends
  if [ -z "$withdrawn" ] && { [ -e "$begun" ] || [ -L "$begun" ]; }; then rm -f "$base/new/taken.$slot"; return; fi
  mv "$base/new/taken.$slot" "$base/queue/0-$(printf '%s-%08d' "$(basename "$bundle")" "$element")"
}

# Enforces the walltime: ends a session with TERM, and 5 seconds later with KILL.
#   $1 session  $2 seconds  $3 file that records the cause
watch() {
  sleeper=''
  trap 'kill "${sleeper:-$!}" 2>/dev/null; exit 0' TERM   # $!: the signal may arrive before `sleeper` is set
  sleep "$2" & sleeper=$!
  wait "$sleeper"
  echo TIMEOUT >"$3"
  kill -TERM "-$1"
  sleep 5 & sleeper=$!
  wait "$sleeper"
  kill -KILL "-$1"
}

# Whether the job was cancelled after it left the queue and before it was listed as running.
stopped() { [ -e "stop/$element" ] && echo CANCELLED >"why/$element"; }

run() {
  { read -r bundle && read -r element && read -r log && read -r wall && read -r script; } <"$1" || return
  entry=$2
  cd "$bundle" || return
  mkdir -p why
  ! stopped || return
  if command -v setsid >/dev/null 2>&1; then
    SCHEDULER_BUNDLE=$bundle SCHEDULER_ELEMENT=$element setsid sh "$script" >>"$log" 2>&1 </dev/null &
  else
    SCHEDULER_BUNDLE=$bundle SCHEDULER_ELEMENT=$element perl -e 'use POSIX; POSIX::setsid(); exec @ARGV or exit 127' sh "$script" >>"$log" 2>&1 </dev/null &
  fi
  job=$!
  echo "$job:$(born "$job")" >"$base/new/running.$slot" && mv "$base/new/running.$slot" "$base/running/$entry"
  ! stopped || (sleep 1; kill -TERM "-$job"; sleep 5; kill -KILL "-$job") 2>/dev/null &
  watcher=''
  if [ "$wall" -gt 0 ]; then watch "$job" "$wall" "why/$element" 2>/dev/null & watcher=$!; fi
  wait "$job"
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
  kill -KILL "-$job" 2>/dev/null   # processes that the job left behind, as a batch system does
  proof=ends/$element.0
  [ ! -e "batches/$element/members" ] || proof=batches/$element/ended
  [ ! -e "$proof" ] || rm -f "$base/running/$entry"
}

work() {
  for queued in "$base"/queue/*; do
    [ -e "$queued" ] || return 1
    name=${queued##*/}
    entry=${name#*-}
    mv "$queued" "$base/new/taken.$slot" 2>/dev/null || continue
    (run "$base/new/taken.$slot" "$entry")
    rm -f "$base/new/taken.$slot"
    return 0
  done
}

# The slot is released before the queue is read for the last time: whoever adds a job later finds the slot free.
while [ -n "$(ls "$base/queue" | head -n 1)" ] && take_slot; do
  put_back
  while work; do :; done
  rm -f "$base/slots/$slot"
done
