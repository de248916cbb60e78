# A machine without a batch system: a queue of files and a few workers that outlive whoever started them.
# All of it lies in one folder per host in the work folder, since process numbers mean nothing on another host.
# The folder of a bundle is WORK/TOKEN, so that the queue is found beside it.

# What tells a process from a later one with the same number: when the machine and the process began.
born() {
  if [ -r "/proc/$1/stat" ]; then
    printf '%s.%s' "$(cat /proc/sys/kernel/random/boot_id)" "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr -c 'A-Za-z0-9:\n' '.'
  fi
}
# Is the process that wrote "pid:born" still there?
alive() {
  [ -n "$1" ] && kill -0 "${1%%:*}" 2>/dev/null && [ "$(born "${1%%:*}")" = "${1#*:}" ]
}
# A session of its own, so that the whole of it can be ended, and nothing that happens to us reaches it.
detached() {
  if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
  exec perl -e 'use POSIX; POSIX::setsid(); exec @ARGV or exit 127' "$@"
}
shell_home() { home=$1/.shell-$(uname -n); }

batch_submit() {
  first=$2 count=$3
  shell_home "$(dirname "$PWD")"
  mkdir -p "$home/queue" "$home/running" "$home/slots" "$home/new" || return
  wall=$(cat "batches/$first/walltime" 2>/dev/null || echo 0)   # 0: as long as it likes
  stamp=$(date +%s)
  index=0
  while [ "$index" -lt "$count" ]; do
    entry=$(printf '%s-%08d' "$(basename "$PWD")" $((first + index)))
    printf '%s\n%s\n%s\n%s\n%s\n' "$PWD" "$((first + index))" "batches/$first/log.$index" "$wall" "$((first + index))/script.sh" >"$home/new/$entry" || return
    mv "$home/new/$entry" "$home/queue/$stamp-$entry" || return
    index=$((index + 1))
  done
  printf '%s\n' "$(basename "$PWD")-$first"
}

# Starts as many workers as there is work and room for. One that finds no room ends at once.
start_workers() {
  [ -n "$(ls "$home/queue" 2>/dev/null | head -n 1)" ] || return 0
  slots=$(cat "$home/limit" 2>/dev/null || echo 1)
  slot=1
  while [ "$slot" -le "$slots" ]; do
    if ! alive "$(readlink "$home/slots/$slot" 2>/dev/null)"; then
      (detached sh "$home/worker.sh" "$home" "$slot" </dev/null >>"$home/workers.log" 2>&1) &
    fi
    slot=$((slot + 1))
  done
}

# $1: so many jobs at once, or 0 for as many as there are cores.
batch_submitted() {
  shell_home "$(dirname "$PWD")"
  slots=$1
  [ "$slots" -gt 0 ] || slots=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
  echo "$slots" >"$home/new/limit.$$" && mv "$home/new/limit.$$" "$home/limit"
  cp worker.sh "$home/new/worker.$$" && mv "$home/new/worker.$$" "$home/worker.sh"   # by rename: others may be reading it
  start_workers
}

# Lines: name|index|state|node. Every element that is asked after has one: a process can be looked at.
batch_live() {
  cut -f 2 "$1" | sort -u | while IFS= read -r folder; do
    shell_home "$(dirname "$folder")"
    [ ! -d "$home/queue" ] || start_workers
    ls "$home/queue" 2>/dev/null | sed "s/^[0-9]*-/$(basename "$folder")|QUEUED|/" | sed 's/^\([^|]*\)|\([A-Z]*\)|\1-/\1|\2|/'
    for file in "$home/running/$(basename "$folder")"-*; do
      [ -e "$file" ] || continue
      number=${file##*-}
      element=${number#"${number%%[!0]*}"}
      if alive "$(cat "$file")"; then echo "$(basename "$folder")|RUNNING|$number"
      # Asked in this order: a job that is not there and has left no end file by then never will.
      elif [ ! -e "$folder/ends/${element:-0}.0" ]; then echo "$(basename "$folder")|GONE|$number"; fi
    done
    for file in "$folder"/why/*; do [ ! -e "$file" ] || echo "$(basename "$folder")|$(cat "$file")|${file##*/}"; done
  done >"$scratch/seen"
  awk -F '\t' -v node="$(uname -n)" "$awk_numbers"'
    FILENAME == ARGV[1] { split($0, f, "|"); rank["QUEUED"] = 1; rank["GONE"] = 2; rank["RUNNING"] = 3; key = f[1] SUBSEP (f[3] + 0)
      if (!(f[2] in rank)) why[key] = f[2]; else if (rank[f[2]] > rank[state[key]]) state[key] = f[2]; next }
    { n = split($2, f, "/"); split("", some); numbers($6, some)
      for (i in some) { key = f[n] SUBSEP ($5 + i)
        word = state[key]; if (word == "" || word == "GONE") word = (key in why) ? why[key] : (word == "" ? "ENDED" : word)
        print $3 "|" i "|" word "|" (word == "QUEUED" ? "" : node) } }
  ' "$scratch/seen" "$1"
}
batch_history() { :; }

# A worker has taken this element from the queue and has not told its process yet.  $1 folder  $2 element  $3 its entry
is_being_started() {
  [ ! -e "$home/running/$3" ] && [ ! -e "$1/ends/$2.0" ] || return
  for taken in "$home"/new/taken.*; do
    [ -s "$taken" ] || continue
    { IFS= read -r its_folder && read -r its_element; } <"$taken" 2>/dev/null || continue
    [ "$its_folder" != "$1" ] || [ "$its_element" != "$2" ] || return 0
  done
  return 1
}

# Reads lines: folder, name, id, first element, indices (all of them if empty). A queued one leaves the queue; a running one
# is told to end, and 5 seconds later made to.
batch_cancel() {
  awk -F '\t' "$awk_numbers"'{ split("", some); numbers($5 == "" ? 0 : $5, some); for (i in some) print $1 "\t" ($4 + i) }' "$1" >"$scratch/which"
  while IFS=$tab read -r folder element; do
    shell_home "$(dirname "$folder")"
    entry=$(printf '%s-%08d' "$(basename "$folder")" "$element")
    [ ! -e "$folder/ends/$element.0" ] || continue
    mkdir -p "$folder/why"
    for queued in "$home"/queue/*-"$entry"; do
      [ ! -e "$queued" ] || { mv "$queued" "$home/new/cancelled.$$" 2>/dev/null && echo CANCELLED >"$folder/why/$element"; }
    done
    for _ in 1 2 3 4 5; do if is_being_started "$folder" "$element" "$entry"; then sleep 1; else break; fi; done
    process=$(cat "$home/running/$entry" 2>/dev/null)
    if alive "$process"; then
      echo CANCELLED >"$folder/why/$element"
      kill -TERM "-${process%%:*}" 2>/dev/null
      (detached sh -c 'sleep 5; kill -KILL "-$1"' sh "${process%%:*}" >/dev/null 2>&1 </dev/null) &
    fi
  done <"$scratch/which"
}
