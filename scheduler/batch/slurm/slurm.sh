# Slurm on the login node: submit a script, query queue and accounting, cancel.

# Unsets the variables SBATCH_… that sbatch would prefer to a directive of the script $1, and those with which a job could
# not be followed. What the script leaves open, they may set.
unset_sbatch() {
  unset SBATCH_ARRAY_INX SBATCH_CLUSTERS SBATCH_DEBUG SBATCH_ERROR SBATCH_GET_USER_ENV SBATCH_INPUT SBATCH_JOB_NAME
  unset SBATCH_NO_REQUEUE SBATCH_OPEN_MODE SBATCH_OUTPUT SBATCH_REQUEUE SBATCH_WAIT SBATCH_WORKING_DIR SBATCH_CHDIR
  options=" $(sed -n 's/^#SBATCH *--\([a-z-]*\).*/\1/p' "$1" | tr '\n' ' ')"
  for name in $(sbatch_variables); do
    case $name in
      SBATCH_TIMELIMIT) same='time' ;;
      SBATCH_MEM_PER_*) same='mem mem-per-cpu mem-per-gpu' ;;
      SBATCH_GPUS* | SBATCH_GRES) same='gpus gpus-per-node gpus-per-task gpus-per-socket gres' ;;
      SBATCH_CPUS_PER_GPU | SBATCH_CPUS_PER_TASK | SBATCH_TRES_PER_TASK) same='cpus-per-task cpus-per-gpu tres-per-task' ;;
      SBATCH_NTASKS*) same='ntasks ntasks-per-node' ;;
      SBATCH_REQ_SWITCH | SBATCH_WAIT4SWITCH) same='switches' ;;
      SBATCH_CORE_SPEC | SBATCH_THREAD_SPEC) same='core-spec thread-spec' ;;
      *) same=$(printf %s "${name#SBATCH_}" | tr 'A-Z_' 'a-z-') ;;
    esac
    for option in $same; do case $options in *" $option "*) unset "$name" ;; esac; done
  done
}
sbatch_variables() { awk 'BEGIN { for (name in ENVIRON) if (name ~ /^SBATCH_[A-Z0-9_]+$/) print name }' </dev/null; }

batch_submit() {
  find_command sbatch || { echo "sbatch: command not found" >&2; return 127; }
  [ -x /bin/bash ] || { echo "/bin/bash does not exist on $(uname -n), and the scripts of jobs need it" >&2; return 127; }
  submit_within_limits "$2" 'PerUserLimit|AssocMaxSubmitJobLimit' as_login sbatch_script --parsable "$1"
}
nothing_queued() { queued=$(squeue -h -a -u "$(id -u)" -o %i 2>/dev/null) && [ -z "$queued" ]; }
sbatch_script() { unset_sbatch "$2" && sbatch "$@"; }
batch_prepare() { :; }
batch_submitted() { :; }

# Reads what sbatch printed: the id, in a federation with ";cluster". Prints the id if it is certain. A wrapper of the site
# may print more, or what sbatch prints without --parsable.
batch_id() {
  tr -d '\r' | sed -n -e 's/^Submitted batch job \([1-9][0-9]\{0,17\}\)\( on cluster .*\)\{0,1\} *$/\1/p' \
    -e 's/^\([1-9][0-9]\{0,17\}\(;[A-Za-z0-9_.-]*\)\{0,1\}\) *$/\1/p' | sort -u | awk '{ id = $0 } END { if (NR == 1) print id }'
}

list_queue() { SLURM_BITSTR_LEN=0 SLURM_TIME_FORMAT='%s' squeue -h -a -t all "$@" -u "$(id -u)" -o '%j|%K|%F|%T|%N|%S|%r'; }

# Waiting tasks of an array share a row, with all their reasons: "None,JobHeldUser". Which of them are held shows only -r, a
# row for each task, which is asked for these arrays alone. Reads the lines of `batch_live`, and replaces the rows.
separate_held() {
  joined=$(awk -F '\t' -v held="$held" 'FILENAME == ARGV[1] { ours[$3]; next }
    { split($0, f, "|"); reason = $0; sub(/^([^|]*[|]){6}/, "", reason) }
    f[1] in ours && f[4] == "PENDING" && f[2] ~ /[-,]/ && reason ~ ("(" held ")") && reason ~ /[^ ],[^ ]|,$/ { print f[3] }
  ' "$1" "$scratch/squeue" | sort -u | paste -s -d , -)
  [ -n "$joined" ] || return 0
  list_queue -r -j "$joined" >"$scratch/separate" 2>"$scratch/why" || {
    grep -q 'Invalid job id' "$scratch/why" && return   # the arrays have just ended
    cat "$scratch/why" >&2
    return 1
  }
  awk -F '|' -v joined="$joined" 'BEGIN { n = split(joined, f, ","); for (i = 1; i <= n; i++) asked[f[i]] }
    FILENAME == ARGV[1] { print; listed[$3]; next }
    !(($3 in asked) && ($3 in listed))' "$scratch/separate" "$scratch/squeue" >"$scratch/rows" && mv "$scratch/rows" "$scratch/squeue"
}
held='JobHeldUser|JobHeldAdmin|JobHoldMaxRequeue|job requeued in held state|launch failed requeued held'

# Reads lines: bundle number, folder, name, id, first job, indices, kind ("one", "array" or "pack").
# Prints lines: name|index|array id|state|node|start|reason
# -t all: squeue lists a finished job for MinJobAge; -a: also in hidden partitions. Only rows with our names are printed: a user's other jobs may have
# any name. When the waiting tasks of an array were cancelled one by one, the row of the remaining array has the index
# N/A, as a single job has: we print "rest". Without a node, the start is an estimate that changes all the time: it is
# left out.
# unexplained: rows of jobs that failed. If they left no end file, the accounting is asked too.
unfinished='^[^|]*[|][^|]*[|][^|]*[|](PENDING|RUNNING)[|]'
unexplained='^[^|]*[|][^|]*[|][^|]*[|]FAILED[|]'
never_starts='^[^|]*[|][^|]*[|][^|]*[|]PENDING[|].*[|]DependencyNeverSatisfied$'
batch_live() {
  find_command squeue || { echo "squeue: command not found" >&2; return 127; }
  list_queue >"$scratch/squeue" || return
  separate_held "$1" || return
  awk -F '\t' 'FILENAME == ARGV[1] { ours[$3] = $7; next }
    { split($0, f, "|"); if (!(f[1] in ours)) next
      if (f[5] == "" && f[6] != "") $0 = f[1] "|" f[2] "|" f[3] "|" f[4] "||" substr($0, length(f[1] f[2] f[3] f[4] f[6]) + 6)
      if (ours[f[1]] == "array" && f[2] !~ /^[0-9]/) $0 = f[1] "|rest" substr($0, length(f[1] f[2]) + 2)
      print }' "$1" "$scratch/squeue"
}

# Queries 500 ids at once. If the query fails because of an id, its list is halved until it is found, with a bounded number
# of queries; then it prints "unanswered|ID" for it.
history_of_ids() {
  total=$(($(wc -l <"$scratch/ids"))) most=24 from=1
  set --
  while [ "$from" -le "$total" ]; do
    to=$((from + 499))
    [ "$to" -le "$total" ] || to=$total
    set -- "$@" "$from,$to"
    from=$((to + 1))
  done
  while [ $# -gt 0 ]; do
    range=$1 code=0
    shift
    SLURM_TIME_FORMAT='%s' sacct -n -P -j "$(sed -n "${range}p" "$scratch/ids" | paste -s -d , -)" -o "$fields" \
      >"$scratch/rows" 2>"$scratch/why" || code=$?
    if [ "$code" -eq 0 ]; then cat "$scratch/rows"; continue; fi
    most=$((most - 1)) from=${range%,*} to=${range#*,}
    if [ "$most" -eq 0 ] || grep -qiE 'connect|contact|refused|timed? ?out|disabled|not found|database' "$scratch/why"; then
      cat "$scratch/why" >&2
      return "$code"
    fi
    if [ "$from" -eq "$to" ]; then sed -n "${from}s/^/unanswered|/p" "$scratch/ids"; continue; fi
    half=$(((from + to) / 2))
    set -- "$from,$half" "$((half + 1)),$to" "$@"
  done
}

# Reads lines: name, id, indices.
# Prints lines: id|name|state|exit:signal|node|start|end|peak memory|requested memory
# Steps are included: only the batch step has the peak memory. A batch without a known id is queried by its name, which
# is unique.
batch_history() {
  find_command sacct || { echo "sacct: command not found" >&2; return 127; }
  fields=JobID,JobName%300,State%60,ExitCode,NodeList%60,Start,End,MaxRSS,ReqMem
  awk -F '\t' '$2 != "-" { sub(/[;_].*/, "", $2); print $2 }' "$1" >"$scratch/ids"
  awk -F '\t' '$2 == "-" { print $1 }' "$1" >"$scratch/names"
  history_of_ids || return
  if [ -s "$scratch/names" ]; then
    SLURM_TIME_FORMAT='%s' sacct -n -P --name "$(paste -s -d , - <"$scratch/names")" -S now-7days -o "$fields" || return
  fi
}

# Reads lines: folder, name, id or -, first job, indices (empty: all).
batch_cancel() {
  find_command scancel || { echo "scancel: command not found" >&2; return 127; }
  # After a reset of the controller another job may have our id. Its name differs, and it is not cancelled. Two jobs have
  # our name if the controller reported an error and accepted the batch all the same.
  find_command squeue && squeue -h -a -u "$(id -u)" -o '%F|%j' >"$scratch/queued.all" || return
  sort -u "$scratch/queued.all" >"$scratch/queued"
  awk -F '\t' 'FILENAME == ARGV[1] { split($0, f, "|"); one = substr($0, length(f[1]) + 2); name[f[1]] = one; ids[one] = ids[one] " " f[1]; next }
    { sub(/[;_].*/, "", $3); n = $2 == "" ? 0 : split(ids[$2], id, " "); own = $3 ~ /^[0-9]+$/ && !($3 in name) && n == 0
      if (own) id[++n] = $3
      for (i = 1; i <= n; i++) print id[i] ($5 == "" ? "" : "_[" $5 "]") }' "$scratch/queued" "$1" >"$scratch/ids"
  [ ! -s "$scratch/ids" ] || xargs -n 200 scancel <"$scratch/ids"
}

# Reports what this Slurm offers; batch/capabilities.py lists the lines. --test-only submits nothing, and it does not
# check the time limit.
batch_check() {
  for name in sbatch squeue scancel; do find_command "$name" || printf 'missing\t%s\n' "$name"; done
  [ -x /bin/bash ] || printf 'missing\t%s\n' '/bin/bash'   # the scripts of jobs need it
  command -v sbatch >/dev/null 2>&1 || return 0
  printf 'version\t%s\n' "$(sbatch --version 2>&1 | head -n 1)"
  words=$(squeue -h -a -u "$(id -u)" -o %i 2>&1 >/dev/null)
  fact live $? "$words"
  words=$(sacct -n -X -P -S now-1hour -u "$(id -un)" -o JobID 2>&1 >/dev/null)
  fact history $? "$words"
  sinfo -h -a -o '%P|%a|%l' | sort -u | awk -F '|' '{
    star = sub(/\*$/, "", $1); print "queue\t" $1 "\t" $2 "\t" $3 "\t" (star ? "default" : "") }'
  scontrol show config 2>/dev/null | awk '$1 == "MaxArraySize" { print "array\t" $3 }'
  sacctmgr -n -P show assoc user="$(id -un)" format=Account,Partition 2>/dev/null | sort -u | awk -F '|' '{ print "account\t" $1 "\t" $2 }'
  printf 'options\t%s\n' "$(sbatch --help 2>/dev/null | grep -o -e '--[a-z][a-z0-9-]*' | sort -u | tr '\n' ' ')"
  words=$(as_login sbatch_script --test-only "$3" 2>&1 </dev/null)
  fact trial $? "$words"
  (unset_sbatch "$3"; sbatch_variables) | sort | while read -r name; do
    eval "printf 'variable\\t%s\\t%s\\n' \"\$name\" \"\$(printf %s \"\$$name\" | head -c 200 | tr '\\n\\t\\r' '   ')\""
  done
}
