# PBS: how a script is handed over, and how its queue, its history and its qdel are asked.
# A server that is frozen never answers: every question has a limit. qstat connects anew for every id on its command line,
# so the queue is asked for one table of one's own jobs, and the history only for the few that left without an end file.
limited() {
  seconds=$1
  shift
  if command -v timeout >/dev/null 2>&1; then timeout "$seconds" "$@"; else "$@"; fi
}
me=$(id -un)

batch_submit() {
  find_command qsub || { echo "qsub: command not found" >&2; return 127; }
  limited 120 qsub "$1"
}
batch_submitted() { :; }

# Lines: name|index|id|state. The table cuts names, so ids tell whose a row is; an id that is not known is asked for by name.
batch_live() {
  find_command qstat || { echo "qstat: command not found" >&2; return 127; }
  limited 60 qstat -u "$me" -w -t >"$scratch/table" || return
  cut -f 3,4 "$1" >"$scratch/ids"
  awk -F '\t' '$2 == "-" { print $1 }' "$scratch/ids" | while read -r name; do
    for id in $(limited 60 qselect -u "$me" -N "$name" 2>/dev/null); do printf '%s\t%s\n' "$name" "$id"; done
  done >"$scratch/found"
  awk '
    FILENAME != ARGV[3] { split($0, f, "\t"); if (f[2] != "-") { id = f[2]; sub(/[[.].*/, "", id); name[id] = f[1]; whole[id] = f[2] }; next }
    $1 ~ /^[0-9]+/ && NF >= 11 {
      id = $1; sub(/[[.].*/, "", id); if (!(id in name)) next
      index_ = 0; if ($1 ~ /\[[0-9]+\]/) { index_ = $1; sub(/.*\[/, "", index_); sub(/\].*/, "", index_) }
      if ($1 ~ /\[\]/ || $10 == "X" || $10 == "F") next   # the array itself, and what has ended
      print name[id] "|" index_ "|" whole[id] "|" $10 }
  ' "$scratch/ids" "$scratch/found" "$scratch/table"
}

# Reads lines: name, id, indices. Prints name|index| and the job's attributes, one question a job, so many at the most.
batch_history() {
  find_command qstat || return 127
  awk -F '\t' "$awk_numbers"'$2 != "-" { split("", some); numbers($3, some); for (i in some) print $1 "\t" i "\t" $2 }' "$1" |
    head -n 100 >"$scratch/single"
  while IFS=$tab read -r name index id; do
    case $id in *"[]"*) id=${id%%"[]"*}[$index]${id#*"[]"} ;; esac
    said=$(limited 30 qstat -x -f -F dsv "$id" 2>"$scratch/why")
    code=$?
    case $code in
      0) [ -n "$said" ] || { cat "$scratch/why" >&2; return 1; } ;;
      35 | 153) ;;
      *) cat "$scratch/why" >&2; return "$code" ;;
    esac
    printf '%s|%s|%s\n' "$name" "$index" "$(printf %s "$said" | tr '\n' ' ')"
  done <"$scratch/single"
}

# Reads lines: folder, name, id, first element, indices (all of them if empty).
batch_cancel() {
  find_command qdel || { echo "qdel: command not found" >&2; return 127; }
  awk -F '\t' '$3 == "-" { print $2 }' "$1" | while read -r name; do limited 60 qselect -u "$me" -N "$name"; done >"$scratch/ids"
  awk -F '\t' "$awk_numbers"'$3 != "-" { if ($5 == "" || $3 !~ /\[\]/) { print $3; next }
    split("", some); numbers($5, some); for (i in some) { id = $3; sub(/\[\]/, "[" i "]", id); print id } }' "$1" >>"$scratch/ids"
  while read -r id; do
    limited 60 qdel "$id" 2>"$scratch/why" </dev/null
    case $? in
      0 | 35 | 55 | 153) ;;
      *) cat "$scratch/why" >&2; return 1 ;;
    esac
  done <"$scratch/ids"
}
