# Queries all jobs of one site at once. Reads a line for each batch, fields separated by tabs:
#   n (number of its bundle)  folder  name  id or -  first element  indices of unfinished jobs (0-39,41)  one, array or pack
#   and, for jobs whose cancellation the batch system has not accepted yet: one, array or members, ":", indices or elements
# The jobs of a pack share a node: the batch system has one element for all of them.
#   $1 "yes" if the history may be queried  $2 how many lines the request has
# Prints tagged lines, which reply.py and the batch system's readers read:
#   clock SECONDS · live CODE ERROR · cancel CODE ERROR · l LINE of the queue · history CODE ERROR · h LINE of the history · missing n ·
#   e n END-FILE · r n ELEMENT RUN (requeued: this run has begun) · b n ELEMENT has started · g n ELEMENT LINE of its log · i n FIRST ID
# The queue is queried before the end files are read: a job that leaves the queue in between has written its end file.
query_history=$1
make_scratch
read_request "$scratch/request" "$2"
for file in ends left need gone files; do : >"$scratch/$file"; done
awk -F '\t' '!($1 in seen) { seen[$1] = 1; print $1 FS $2 }' "$scratch/request" >"$scratch/folders"
printf 'clock %s\n' "$(date +%s)"
error_text() { [ ! -s "$scratch/error" ] || head -c 1000 "$scratch/error" | tr '\n' ' '; }

batch_live "$scratch/request" >"$scratch/live" 2>"$scratch/error" </dev/null
code=$?
printf 'live %s %s\n' "$code" "$(error_text)"

# Jobs that are to be cancelled are withdrawn, and cancelled in the queue if it has them, or if their id is known.
awk -F '\t' -v OFS='\t' -v code="$code" 'FILENAME == ARGV[1] { split($0, f, "|"); queued[f[1]] = 1; next }
  $8 != "" { split($8, c, ":"); known = code == 0 && ($3 in queued || $4 != "-")
    print $2, (known ? $3 : ""), (known ? $4 : "-"), $5, c[2], c[1] }' "$scratch/live" "$scratch/request" >"$scratch/cancelling"
if [ -s "$scratch/cancelling" ]; then
  cancel_batches "$scratch/cancelling" 2>"$scratch/error" </dev/null >&2
  printf 'cancel %s %s\n' "$?" "$(error_text)"
fi

# Jobs that can never start are cancelled, so that they count against no limit. Their logs say so first: from now on the
# queue reports only that they were cancelled. Nothing is printed: the lines of the queue show why they have failed.
if [ "$code" -eq 0 ] && [ -n "$never_starts" ] && grep -E "$never_starts" "$scratch/live" >"$scratch/dead"; then
  awk -F '\t' -v OFS='\t' -v logs="$scratch/logs_of_dead" 'FILENAME == ARGV[1] { split($0, f, "|"); dead[f[1]] = dead[f[1]] "," f[2]; next }
    $3 in dead { list = substr(dead[$3], 2); if (list !~ /^[][0-9%,:-]+$/) list = $6
      print $2, $3, $4, $5, $7 == "array" ? list : "", $7 == "array" ? "array" : "one"
      print $2, $5, $7 == "array" ? list : "0" >logs }' "$scratch/dead" "$scratch/request" >"$scratch/dying"
  while IFS=$tab read -r folder first list; do
    for index in $(numbered "$list"); do
      echo 'scheduler: cancelled, because its dependency can never be satisfied' >>"$folder/batches/$first/log.$index"
    done
  done <"$scratch/logs_of_dead" 2>/dev/null
  cancel_batches "$scratch/dying" >/dev/null 2>&1 </dev/null
fi

# The end files of the elements in the request, a line for each; of one element, the newest run last.
while IFS=$tab read -r n folder; do
  if cd "$folder/ends" 2>/dev/null; then printf '/%s\n' "$n" && ls; else printf 'missing %s\n' "$n" >&3; fi
done <"$scratch/folders" 3>&1 >"$scratch/listed"
cd /
awk -F '\t' -v some="$scratch/some." "$awk_numbers"'
  FILENAME == ARGV[1] { if (/^\//) n = substr($0, 2); else if (/^[0-9]+\.[0-9]+$/) end_of[n, ++ends[n]] = $0
    else if (/^[0-9]+\.run\.[0-9]+$/) run_of[n, ++runs[n]] = $0; next }
  ($1 in ends) || ($1 in runs) { split("", which); numbers($6, which); for (i in which) wanted[$1, $5 + i] = 1 }
  END { for (n in ends) { for (k = 1; k <= ends[n]; k++) {
      split(end_of[n, k], f, "."); if ((n, f[1]) in wanted) print end_of[n, k] >(some n) }; close(some n) }
    for (n in runs) for (k = 1; k <= runs[n]; k++) {
      split(run_of[n, k], f, "."); if ((n, f[1]) in wanted) print "r " n " " f[1] " " f[3] >(some "runs") } }
' "$scratch/listed" "$scratch/request"
while IFS=$tab read -r n folder; do
  [ ! -s "$scratch/some.$n" ] || (cd "$folder/ends" && sort -t . -k 2n "$scratch/some.$n" | xargs cat /dev/null | sed "s/ *\$//; /./!d; s/^/e $n /")
done <"$scratch/folders" >"$scratch/ends"
[ ! -s "$scratch/some.runs" ] || cat "$scratch/some.runs" >>"$scratch/ends"

# Prints the lines of the queue and the end files. Then selects, among the jobs whose end file does not show that they ended
# by themselves: those that are not in the queue, or of which it does not know why they failed (only they are looked up in
# the history), and those whose log is read (not
# that of a job that waits or runs and has no end file). If the queue shows the rest of an array as one line, its elements
# are not counted.
awk -F '\t' -v unfinished="$unfinished" -v unexplained="${unexplained:-}" -v to="$scratch/" "$awk_numbers"'
  FILENAME == ARGV[1] { print "l " $0; split($0, f, "|"); if (f[2] == "rest") next
    if (unexplained != "" && $0 ~ unexplained) next
    at = f[2] ~ /^[0-9]/ ? f[2] : 0; sub(/%.*/, "", at); on = $0 ~ unfinished; if (on) whole[f[1], at] = 1
    if (at !~ /^[0-9]+$/) { if (on) going[f[1]] = going[f[1]] "," at; else lists[f[1]] = lists[f[1]] "," at; next }
    live[f[1], at + 0] = 1; if (on) busy[f[1], at + 0] = 1; next }
  FILENAME == ARGV[2] { print; split($0, f, " ")
    if (f[1] == "r") { if (f[4] + 0 > newest[f[2], f[3]] + 0) delete fine[f[2], f[3]]; next }
    newest[f[2], f[3]] = f[4]; ended[f[2]] = 1; has_end[f[2], f[3]] = 1; delete fine[f[2], f[3]]
    if (f[6] == "signal=" && f[5] ~ /^exit=([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$/) fine[f[2], f[3]] = 1; next }
  $4 == "-" { print $1 "\t" $5 "\t" $2 "/batches/" $5 "/id" >(to "files") }
  !($1 in ended) && (($3, $7 == "pack" ? 0 : $6) in whole) { next }
  { split("", some); numbers(substr(going[$3], 2), some); for (i in some) live[$3, i + 0] = busy[$3, i + 0] = 1
    split("", some); numbers(substr(lists[$3], 2), some); for (i in some) live[$3, i + 0] = 1
    split("", some); numbers($6, some); list = ""
    for (i in some) { at = $7 == "pack" ? 0 : i + 0; if (($1, $5 + i) in fine) continue
      if (!(($3, at) in live)) { list = $7 == "pack" ? "0" : list (list == "" ? "" : ",") i; print $1 "\t" ($5 + i) "\t" $2 >(to "left") }
      if (!(($3, at) in busy) || (($1, $5 + i) in has_end))
        print $1 "\t" ($5 + i) "\t" $2 "\tbatches/" $5 "/" ($7 == "pack" ? "member." ($5 + i) : "log." i) "\tbatches/" $5 "/log.0\t" $7 >(to "need") }
    if (list != "") print $3 "\t" $4 "\t" list >(to "gone") }
' "$scratch/live" "$scratch/ends" "$scratch/request"
if [ "$query_history" = yes ] && [ -s "$scratch/gone" ] && [ "$code" -eq 0 ]; then
  batch_history "$scratch/gone" >"$scratch/history" 2>"$scratch/error" </dev/null
  printf 'history %s %s\n' "$?" "$(error_text)"
  sed 's/^/h /' "$scratch/history"
fi

# Which of these have started: a job that was cancelled while it waited has not.
while IFS=$tab read -r n number folder; do
  [ -L "$folder/guards/$number" ] || continue
  case $(readlink "$folder/guards/$number") in cancelled | cancelled/*) ;; *) printf 'b %s %s\n' "$n" "$number" ;; esac
done <"$scratch/left"

# The last lines of these logs, and ids that the ledger does not have yet. The logs that are not empty are listed at once: to
# test 10,000 files one by one takes a shell a second.
if [ -s "$scratch/need" ]; then
  while IFS=$tab read -r n folder; do
    ! cd "$folder" 2>/dev/null || find batches \( -name 'log.*' -o -name 'member.*' \) -size +0 2>/dev/null | sed "s/^/$n /"
  done <"$scratch/folders" >"$scratch/logs"
  cd /
  awk -F '\t' 'FILENAME == ARGV[1] { listed[$0] = 1; next }
    { log_of = ($1 " " $4) in listed || $6 != "pack" ? $4 : $5; if (($1 " " log_of) in listed) print $1 "\t" $2 "\t" $3 "/" log_of }
  ' "$scratch/logs" "$scratch/need" >>"$scratch/files"
fi
while IFS=$tab read -r n number file; do
  [ -s "$file" ] || continue
  case $file in
    */id) printf 'i %s %s %s\n' "$n" "$number" "$(batch_id <"$file")" ;;
    *) tail -c 8192 "$file" | tr '\r' '\n' | sed '/./!d' | tail -n 4 | cut -c 1-300 | sed "s/^/g $n $number /" ;;
  esac
done <"$scratch/files"
