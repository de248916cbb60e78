# A machine without a batch system: a queue of files, and a few worker processes that run its jobs.
# The queue is in the folder WORK/.shell-HOST, because process ids are valid on one host only. Bundles are WORK/TOKEN.

# Runs a command in a session of its own: it keeps running when we end, and the whole session can be killed.
detached() {
  if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
  exec perl -e 'use POSIX; POSIX::setsid(); exec @ARGV or exit 127' "$@"
}
find_queue() { base=$1/.shell-$(uname -n); }
# Whether job $2 of the bundle $1 (or the pack that begins with it) has recorded its end.
proved() {
  if [ -e "$1/batches/$2/members" ]; then [ -e "$1/batches/$2/ended" ]; else [ -e "$1/ends/$2.0" ]; fi
}

# Before anything is queued: if we are killed between the first entry and batch_submitted, any poll can start workers.
#   $1 the most jobs that run at once, or 0 for the number of cores
batch_prepare() {
  find_queue "$(dirname "$PWD")"
  mkdir -p "$base/queue" "$base/running" "$base/slots" "$base/new" || return
  slots=$1
  [ "$slots" -gt 0 ] || slots=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
  echo "$slots" >"$base/new/limit.$$" && mv "$base/new/limit.$$" "$base/limit" || return
  cp worker.sh "$base/new/worker.$$" && mv "$base/new/worker.$$" "$base/worker.sh"   # by rename: a worker may be reading it
}

batch_submit() {
  script=$1 first=$2 count=$3
  find_queue "$(dirname "$PWD")"
  [ -s "$base/worker.sh" ] || { echo "cannot write in $base (is the disk full?)" >&2; return 70; }
  wall=$(cat "batches/$first/walltime" 2>/dev/null || echo 0)   # 0: no limit
  stamp=$(date +%s)
  index=0
  while [ "$index" -lt "$count" ]; do
    entry=$(printf '%s-%08d' "$(basename "$PWD")" $((first + index)))
    # All entries are written before the first one is queued: if the disk is full, none is queued.
    printf '%s\n%s\n%s\n%s\n%s\n' "$PWD" "$((first + index))" "batches/$first/log.$index" "$wall" "$script" >"$base/new/$entry" ||
      { rm -f "$base/new/$(basename "$PWD")"-*; echo "cannot write in $base (is the disk full?)" >&2; return 70; }
    index=$((index + 1))
  done
  for file in "$base/new/$(basename "$PWD")"-*; do
    mv "$file" "$base/queue/$stamp-${file##*/}" || return
  done
  printf '%s\n' "$(basename "$PWD")-$first"
}

# Reads what batch_submit printed, and prints the id if it is one.
batch_id() { sed -n 's/^\([A-Za-z0-9]\{1,\}-[0-9]\{1,\}\) *$/\1/p'; }

# Starts a worker for every free slot, if there is work. A worker that finds its slot taken ends at once.
start_workers() {
  [ -n "$(ls "$base/queue" 2>/dev/null | head -n 1)" ] || return 0
  slots=$(cat "$base/limit" 2>/dev/null || echo 1)
  slot=1
  while [ "$slot" -le "$slots" ]; do
    if ! alive "$(readlink "$base/slots/$slot" 2>/dev/null)"; then
      (as_login detached sh "$base/worker.sh" "$base" "$slot" </dev/null >>"$base/workers.log" 2>&1) &
    fi
    slot=$((slot + 1))
  done
}

batch_submitted() {
  find_queue "$(dirname "$PWD")"
  start_workers
}

# Reads lines: bundle number, folder, name, id, first job, indices, kind ("one", "array" or "pack").
# Prints a line for each job: name|index|state|node
unfinished='^[^|]*[|][^|]*[|](QUEUED|RUNNING)[|]'
batch_live() {
  cut -f 2 "$1" | sort -u | while IFS= read -r folder; do
    find_queue "$(dirname "$folder")"
    [ ! -d "$base/queue" ] || start_workers
    ls "$base/queue" 2>/dev/null | sed "s/^[0-9]*-/$(basename "$folder")|QUEUED|/" | sed 's/^\([^|]*\)|\([A-Z]*\)|\1-/\1|\2|/'
    for file in "$base/running/$(basename "$folder")"-*; do
      [ -e "$file" ] || continue
      number=${file##*-}
      element=${number#"${number%%[!0]*}"}
      if alive "$(cat "$file")"; then echo "$(basename "$folder")|RUNNING|$number"
      # In this order: a job whose process is gone, and that has no end file after that, will never have one.
      elif ! proved "$folder" "${element:-0}"; then echo "$(basename "$folder")|GONE|$number"; fi
    done
    for file in "$folder"/why/*; do [ ! -e "$file" ] || echo "$(basename "$folder")|$(cat "$file")|${file##*/}"; done
  done >"$scratch/seen"
  awk -F '\t' -v node="$(uname -n)" "$awk_numbers"'
    FILENAME == ARGV[1] { split($0, f, "|"); rank["QUEUED"] = 1; rank["GONE"] = 2; rank["RUNNING"] = 3; key = f[1] SUBSEP (f[3] + 0)
      if (!(f[2] in rank)) why[key] = f[2]; else if (rank[f[2]] > rank[state[key]]) state[key] = f[2]; next }
    { n = split($2, f, "/"); split("", some); numbers($7 == "pack" ? 0 : $6, some)
      for (i in some) { key = f[n] SUBSEP ($5 + i)
        word = state[key]; if (word == "" || word == "GONE") word = (key in why) ? why[key] : (word == "" ? "ENDED" : word)
        print $3 "|" i "|" word "|" (word == "QUEUED" ? "" : node) } }
  ' "$scratch/seen" "$1"
}
batch_history() { :; }

# Reads lines: folder, name, id, first job, indices (empty: all). Queued jobs leave the queue first, so that no worker
# starts one; then running jobs get TERM, and KILL 5 seconds later.
batch_cancel() {
  awk -F '\t' "$awk_numbers"'{ split("", some); numbers($5 == "" ? 0 : $5, some); if ($1 != "") for (i in some) print $1 "\t" ($4 + i) }' "$1" >"$scratch/which"
  while IFS=$tab read -r folder element; do
    find_queue "$(dirname "$folder")"
    ! proved "$folder" "$element" || continue
    # Before the queue is searched: a worker that has just taken the job looks for this file.
    mkdir -p "$folder/why" "$folder/stop" && : >"$folder/stop/$element"
    for queued in "$base"/queue/*-"$(printf '%s-%08d' "$(basename "$folder")" "$element")"; do
      [ ! -e "$queued" ] || { mv "$queued" "$base/new/cancelled.$$" 2>/dev/null && echo CANCELLED >"$folder/why/$element"; }
    done
  done <"$scratch/which"
  while IFS=$tab read -r folder element; do
    find_queue "$(dirname "$folder")"
    ! proved "$folder" "$element" || continue
    process=$(cat "$base/running/$(printf '%s-%08d' "$(basename "$folder")" "$element")" 2>/dev/null)
    if alive "$process"; then
      echo CANCELLED >"$folder/why/$element"
      kill -TERM "-${process%%:*}" 2>/dev/null
      (detached sh -c 'sleep 5; kill -KILL "-$1"' sh "${process%%:*}" >/dev/null 2>&1 </dev/null) &
    fi
  done <"$scratch/which"
}

batch_check() {
  printf 'version\tno batch system, %s cores\n' "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)"
  command -v setsid >/dev/null 2>&1 || command -v perl >/dev/null 2>&1 || printf 'missing\t%s\n' "setsid or perl"
  fact live 0 ''
}
