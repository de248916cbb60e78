# Asks after all jobs of one site at once. Reads a line a batch, fields parted by tabs:
#   n (number of its bundle)  folder  name  id or -  first element  indices that are not final (0-39,41)  one, array or pack
# The jobs of a pack share a node: the queue has one element for all of them.
#   $1 "yes" if the history may be asked
# Prints tagged lines; the readers are in Python. The queue is asked before the end files are read: a job that leaves
# the queue in between has its end file by then.
ask_history=$1
make_scratch
cat >"$scratch/asked"
printf 'clock %s\n' "$(date +%s)"

batch_live "$scratch/asked" >"$scratch/live" 2>"$scratch/error" </dev/null
code=$?
printf 'live %s %s\n' "$code" "$(head -c 1000 "$scratch/error" | tr '\n' ' ')"
sed 's/^/l /' "$scratch/live"

# The end files of the elements that are asked after: a line each, the newest attempt last.
cut -f 1,2 "$scratch/asked" | sort -u >"$scratch/folders"
while IFS=$tab read -r n folder; do
  if ! cd "$folder/ends" 2>/dev/null; then printf 'missing %s\n' "$n"; continue; fi
  # shellcheck disable=SC2012
  ls | awk -F '\t' -v n="$n" "$awk_numbers"'
    FILENAME == ARGV[1] { if ($1 == n) { split("", some); numbers($6, some); for (i in some) wanted[$5 + i] = 1 }; next }
    { split($0, f, "."); if ($0 ~ /^[0-9]+\.[0-9]+$/ && (f[1] in wanted)) print }
  ' "$scratch/asked" - | sort -t . -k 2n | xargs cat /dev/null | sed "s/ *\$//; /./!d; s/^/e $n /"
done <"$scratch/folders" | tee "$scratch/ends"

# Elements that the queue does not have and that did not end by themselves: the history is asked after those alone.
awk -F '\t' -v left="$scratch/left" "$awk_numbers"'
  FILENAME == ARGV[1] { split($0, f, "|"); if (f[2] == "rest") next; if (f[2] !~ /^[0-9]/) f[2] = 0
    split("", seen); numbers(f[2], seen); for (i in seen) live[f[1], i + 0] = 1; next }
  FILENAME == ARGV[2] { split($0, f, " "); if (f[6] == "signal=" && f[5] ~ /^exit=([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$/) fine[f[2], f[3]] = 1; next }
  { split("", some); numbers($6, some); list = ""
    for (i in some) if (!(($3, $7 == "pack" ? 0 : i + 0) in live) && !(($1, $5 + i) in fine)) {
      list = $7 == "pack" ? "0" : list (list == "" ? "" : ",") i; print $1 "\t" ($5 + i) "\t" $2 >left }
    if (list != "") print $3 "\t" $4 "\t" list }
' "$scratch/live" "$scratch/ends" "$scratch/asked" >"$scratch/gone"
if [ "$ask_history" = yes ] && [ -s "$scratch/gone" ] && [ "$code" -eq 0 ]; then
  batch_history "$scratch/gone" >"$scratch/history" 2>"$scratch/error" </dev/null
  printf 'history %s %s\n' "$?" "$(head -c 1000 "$scratch/error" | tr '\n' ' ')"
  sed 's/^/h /' "$scratch/history"
fi

# Which of these have begun once: what was cancelled while it waited has not.
: >>"$scratch/left"
while IFS=$tab read -r n number folder; do
  [ ! -L "$folder/guards/$number" ] || printf 'b %s %s\n' "$n" "$number"
done <"$scratch/left"

# What the batch system wrote into the log of an element that did not end by itself, and ids that are new to the asker.
# The logs that hold something are listed once: to look for each of 10,000 takes a shell a second.
while IFS=$tab read -r n folder; do
  ! cd "$folder" 2>/dev/null || find batches \( -name 'log.*' -o -name 'member.*' \) -size +0 2>/dev/null | sed "s/^/$n /"
done <"$scratch/folders" >"$scratch/logs"
awk -F '\t' "$awk_numbers"'
  FILENAME == ARGV[1] { said[$0] = 1; next }
  FILENAME == ARGV[2] { split($0, f, " "); if (f[6] == "signal=" && f[5] ~ /^exit=([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$/) fine[f[2], f[3]] = 1; next }
  { split("", some); numbers($6, some); for (i in some) if (!(($1, $5 + i) in fine)) {
      log_of = "batches/" $5 "/log." i
      if ($7 == "pack") { log_of = "batches/" $5 "/member." ($5 + i); if (!(($1 " " log_of) in said)) log_of = "batches/" $5 "/log.0" }
      if (($1 " " log_of) in said) print $1 "\t" ($5 + i) "\t" $2 "/" log_of }
    if ($4 == "-") print $1 "\t" $5 "\t" $2 "/batches/" $5 "/id" }
' "$scratch/logs" "$scratch/ends" "$scratch/asked" >"$scratch/files"
while IFS=$tab read -r n number file; do
  [ -s "$file" ] || continue
  case $file in
    */id) printf 'i %s %s %s\n' "$n" "$number" "$(tr '\n\t' '  ' <"$file")" ;;
    *) tail -n 4 "$file" | cut -c 1-300 | sed "s/^/g $n $number /" ;;
  esac
done <"$scratch/files"
