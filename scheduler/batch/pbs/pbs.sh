# PBS on the login node: submit a script, query queue and history, cancel. A frozen server never answers, so every
# command has a time limit. qstat connects to the server for every id on its command line, so the queue is queried with
# one table of the user's jobs, and the history only for the few jobs that left the queue without an end file.
user_name=$(id -un)
most_queries=100       # the most queries of the history in one poll

# Runs a command with a time limit.
#   $1 seconds
limited() {
  seconds=$1
  shift
  command -v timeout >/dev/null 2>&1 || { "$@"; return; }
  timeout "$seconds" "$@"
  answered=$?
  [ "$answered" -ne 124 ] || echo "$1 did not answer in $seconds s" >&2
  return "$answered"
}

# The commands of PBS may be on PATH for login shells only, or not at all: then its settings file names their folder.
find_pbs() {
  find_command "$1" && return
  pbs_bin=$(sed -n 's/^PBS_EXEC=//p' "${PBS_CONF_FILE:-/etc/pbs.conf}" 2>/dev/null)
  pbs_bin=${pbs_bin:-/opt/pbs}/bin
  [ -x "$pbs_bin/$1" ] || { echo "$1: command not found" >&2; return 127; }
  PATH=$PATH:$pbs_bin
}

# Prints the script with the bundle's folder written into it, because PBS_O_WORKDIR cannot hold every name. If /bin/bash
# does not exist, /bin/sh runs the script.
placed() {
  bash=/bin/bash
  [ -x "$bash" ] || bash=/bin/sh
  line=$(printf 'SCHEDULER_BUNDLE=%s' "$(printf %s "$PWD" | sed "s/'/'\\\\''/g; s/^/'/; s/\$/'/")") \
    awk -v bash="$bash" 'NR == 1 { sub(/^#!\/bin\/bash$/, "#!" bash) }
      !/^#/ && !done { print ENVIRON["line"]; done = 1 } { print }' "$1"
}

nothing_queued() { queued=$(limited 60 qselect -u "$user_name" </dev/null 2>/dev/null) && [ -z "$queued" ]; }
limits='would exceed .*limit|Maximum number of jobs'

# Submits from the folder /, for the same reason as in `placed`. Therefore -o, relative in the script, is given as an absolute path.
batch_submit() {
  find_pbs qsub || return
  log=$PWD/batches/$2/log.0
  [ "$3" -eq 1 ] || log=$PWD/batches/$2/log.^array_index^
  placed "$1" >"batches/$2/placed.sh" || return
  submit_within_limits "$2" "$limits" placed_script "batches/$2/placed.sh"
}
# A qsub may leave a process behind that keeps its output open: a pipe would never end.
placed_script() {
  (exec <"$1" && cd / && as_login limited 120 qsub -o "$log") >"$1.said"
  code=$?
  cat "$1.said"
  return "$code"
}
batch_prepare() { :; }
batch_submitted() { :; }

# Reads what qsub printed: the id, and perhaps more, by a wrapper or a hook of the site. Prints the id if it is certain.
batch_id() {
  tr -d '\r' | sed -n 's/^\([0-9][0-9]*\(\[\]\)\{0,1\}\.[0-9_.-]*[A-Za-z][A-Za-z0-9_.-]*\) *$/\1/p' | sort -u | awk '{ id = $0 } END { if (NR == 1) print id }'
}

# Reads lines: bundle number, folder, name, id, first job, indices, kind ("one", "array" or "pack").
# Prints lines: name|index|id|state|comment
# The table truncates names, so its rows are matched by id; an unknown id is queried by name. The tasks of a held array
# are listed as queued, and with -u and -t the table has no row for the array itself: if any task is queued, the table
# without -t shows which arrays are held. "deleted": qdel accepted the job, and the table no longer has it. Without a
# history nothing else shows that.
unfinished='^[^|]*[|][^|]*[|][^|]*[|][HQRW][|]'
batch_live() {
  find_pbs qstat || return
  limited 60 qstat -u "$user_name" -w -t -s >"$scratch/table" || return
  : >"$scratch/arrays"
  if grep -q '^[0-9][0-9]*\[[0-9][0-9]*\].* Q ' "$scratch/table"; then
    limited 60 qstat -u "$user_name" -w >"$scratch/arrays" || return
  fi
  cut -f 3,4 "$1" >"$scratch/ids"
  awk -F '\t' '$2 == "-" { print $1 }' "$scratch/ids" | while read -r name; do
    limited 60 qselect -u "$user_name" -N "$name" </dev/null | sed "s/^/$name$tab/"
  done >"$scratch/found"
  while IFS=$tab read -r _ folder name id first indices kind _; do
    [ -s "$folder/batches/$first/deleted" ] || continue
    while read -r which; do
      printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$id" "$indices" "$which" "$kind" "$first" "$folder"
    done <"$folder/batches/$first/deleted"
  done <"$1" >"$scratch/deleted"
  : >"$scratch/absent"
  awk -v absent="$scratch/absent" "$awk_numbers"'
    function show() { if (row != "") print row "|" comment; row = "" }
    FILENAME == ARGV[3] { split($0, f, "\t"); gone[f[1]] = gone[f[1]] "," (f[4] == "all" ? f[3] : f[4])
      wanted[f[1]] = f[3]; deleted[f[1]] = f[2]; array[f[1]] = f[5] == "array"; first[f[1]] = f[6]; folder[f[1]] = f[7]; next }
    FILENAME == ARGV[4] { if ($1 ~ /^[0-9]+\[\]/) { id = $1; sub(/[^0-9].*/, "", id); parent[id] = NF > 6 ? $10 : $5 }; next }
    FILENAME != ARGV[5] { split($0, f, "\t"); if (f[2] != "-") { id = f[2]; sub(/[^0-9].*/, "", id); name[id] = f[1]; whole[id] = f[2] }; next }
    /^ / { sub(/^ +/, ""); if ($0 !~ /^-- *$/) comment = comment $0; next }
    { show() }
    /^[0-9]/ && NF >= 6 {
      id = $1; sub(/[^0-9].*/, "", id); if (!(id in name)) next
      state = NF > 6 ? $10 : $5; comment = ""
      if ($1 ~ /^[0-9]+\[\]/) { parent[id] = state; next }
      at = 0; if ($1 ~ /^[0-9]+\[[0-9]+\]/) { at = $1; sub(/^[0-9]+\[/, "", at); sub(/\].*/, "", at) }
      if (state == "Q" && (parent[id] == "H" || parent[id] == "W")) state = parent[id]
      if (state != "X" && state != "F") { row = name[id] "|" at "|" whole[id] "|" state; listed[name[id], at + 0] = 1 }
    }
    END { show()
      for (one in gone) {
        split("", which); split("", some); numbers(substr(gone[one], 2), which); numbers(wanted[one], some)
        for (at in which) if ((at in some) && !((one, at) in listed)) {
          line = one "|" at "|" deleted[one] "|deleted|"
          if (array[one]) print folder[one] "/ends/" (first[one] + at) "\t" line >absent; else print line } }
    }
  ' "$scratch/ids" "$scratch/found" "$scratch/deleted" "$scratch/arrays" "$scratch/table" || return
  # qdel accepts a range although some of its tasks have finished. The end file of such a task shows that it ended by itself.
  while IFS=$tab read -r end line; do
    for file in "$end".[0-9]*; do
      code=999 signal=''
      [ ! -e "$file" ] || read -r _ _ code signal _ <"$file"
    done
    if [ "$signal" != 'signal=' ] || [ "${code#exit=}" -gt 128 ]; then printf '%s\n' "$line"; fi
  done <"$scratch/absent"
}

# Queries the history once. Prints no line for a job that PBS does not know. TZ: qstat prints times in the time zone of
# its environment.
#   $1 name  $2 "one" task or "all"  $3 id  $4 indices
query_history() {
  elements=''
  [ "$2" = one ] || elements=-t
  # shellcheck disable=SC2086
  (TZ=UTC0; export TZ; limited 30 qstat -x $elements -f -F dsv "$3" >"$scratch/answer" 2>"$scratch/why" </dev/null)
  code=$?
  case $code in
    0) [ -s "$scratch/answer" ] || { cat "$scratch/why" >&2; return 1; } ;;   # history is off
    35 | 153) return 0 ;;
    *) cat "$scratch/why" >&2; return "$code" ;;
  esac
  awk -v name="$1" -v list="$4" "$awk_numbers"'
    BEGIN { numbers(list, wanted) }
    /^Job Id: / { at = 0; if (match($0, /^Job Id: [0-9]+\[[0-9]+\]/)) { at = substr($0, 1, RLENGTH - 1); sub(/.*\[/, "", at) }
      if ((at + 0) in wanted) print name "|" $0 }' "$scratch/answer"
}

# Reads lines: name, id, indices. Prints a line for each job: name|attributes
# A few tasks of an array are queried one by one, many tasks with the whole array.
batch_history() {
  find_pbs qstat || return
  while IFS=$tab read -r name id list; do
    [ "$id" != - ] || id=$(limited 60 qselect -x -u "$user_name" -N "$name" </dev/null 2>/dev/null | tail -n 1)
    case $id,$list in
      ,*) ;;
      *"[]"*,*,*,*,*) printf '%s\tall\t%s\t%s\n' "$name" "$id" "$list" ;;
      *"[]"*) for at in $(printf %s "$list" | tr , ' '); do printf '%s\tone\t%s\t%s\n' "$name" "${id%%"[]"*}[$at]${id#*"[]"}" "$at"; done ;;
      *) printf '%s\tone\t%s\t0\n' "$name" "$id" ;;
    esac
  done <"$1" >"$scratch/queries"
  head -n "$most_queries" "$scratch/queries" >"$scratch/now"
  while IFS=$tab read -r name how id list; do
    query_history "$name" "$how" "$id" "$list"
    code=$?
    # What fails for one job says nothing about the others; a server that does not answer is not asked again.
    case $code in 0) ;; 1 | 2 | 124 | 160 | 16[2-4] | 18[3-6] | 255) return "$code" ;; *) echo "unanswered|$name" ;; esac
  done <"$scratch/now"
  [ "$(wc -l <"$scratch/queries")" -le "$most_queries" ] || { echo "queried $most_queries jobs; the next poll queries the rest" >&2; return 75; }
}

# Runs qdel for one id. A job that has finished, is about to finish or is unknown is not an error. If the server cannot
# be reached, nothing more is cancelled. What qdel accepted is recorded.
#   $1 id  $2 its indices, or "all" of the batch
delete() {
  limited 60 qdel "$1" 2>"$scratch/why" </dev/null
  code=$?
  case $code in
    0) [ ! -d "$folder/batches/$first" ] || printf '%s\n' "$2" >>"$folder/batches/$first/deleted" ;;
    35 | 55 | 153 | 168) ;;
    124 | 160 | 162 | 255) cat "$scratch/why" >&2; exit "$code" ;;
    *) cat "$scratch/why" >&2; worst=$code ;;
  esac
}

# Cancels tasks of an array, range by range: qdel of the whole array would overwrite the records of its finished tasks.
# If qdel refuses a range because a task of it has finished, each task is cancelled by itself.
#   $1 id  $2 indices
delete_elements() {
  head=${1%%"[]"*} tail=${1#*"[]"}
  for range in $(printf %s "$2" | tr , ' '); do
    delete "${head}[$range]$tail" "$range"
    case $code,$range in
      0,* | *,*[!0-9-]*) ;;
      *-*) at=${range%-*}; while [ "$at" -le "${range#*-}" ]; do delete "${head}[$at]$tail" "$at"; at=$((at + 1)); done ;;
    esac
  done
}

# Reads lines: folder, name, id or -, first job, indices (empty: all).
batch_cancel() {
  find_pbs qdel || return
  worst=0
  awk -F '\t' '$3 != "-" || $2 != "" { print ($1 == "" ? "-" : $1) FS $2 FS $3 FS $4 FS ($5 == "" ? "-" : $5) }' "$1" >"$scratch/batches"
  while IFS=$tab read -r folder name id first list; do
    [ "$id" != - ] || id=$(limited 60 qselect -u "$user_name" -N "$name" </dev/null) || return
    for one in $id; do
      case $one,$list in
        *"[]"*,[0-9]*) delete_elements "$one" "$list" ;;
        *) delete "$one" all ;;
      esac
    done
  done <"$scratch/batches"
  return "$worst"
}

# Reports what this PBS offers; batch/capabilities.py lists the lines. It cannot list accounts or try directives.
batch_check() {
  for name in qsub qstat qdel qselect; do find_pbs "$name" 2>/dev/null || printf 'missing\t%s\n' "$name"; done
  find_pbs qstat 2>/dev/null || return 0
  printf 'version\t%s\n' "$(limited 60 qstat --version 2>&1 | head -n 1 | sed 's/^pbs_version = /PBS /')"
  words=$(limited 60 qstat -u "$user_name" -w 2>&1 >/dev/null)
  fact live $? "$words"
  limited 60 qstat -B -f >"$scratch/server" || return
  awk -F ' = ' '{ sub(/^ */, "", $1) } $1 == "max_array_size" { print "array\t" $2 }' "$scratch/server"
  if grep -q 'job_history_enable = True' "$scratch/server"; then fact history 0 ''; else fact history 1 "job_history_enable is not True"; fi
  limited 60 qstat -Q -f >"$scratch/queues" || return
  awk -F ' = ' '
    function show() { if (queue != "") print "queue\t" queue "\t" state "\t" limit "\t" (queue == first ? "default" : "") }
    { sub(/^ */, "", $1) }
    FILENAME == ARGV[1] { if ($1 == "default_queue") first = $2; next }
    /^Queue: / { show(); queue = substr($0, 8); state = "up"; limit = ""; next }
    $1 == "enabled" && $2 != "True" { state = "not enabled" }
    $1 == "started" && $2 != "True" { state = state == "up" ? "not started" : state }
    $1 == "resources_max.walltime" { limit = $2 }
    END { show() }' "$scratch/server" "$scratch/queues"
}
