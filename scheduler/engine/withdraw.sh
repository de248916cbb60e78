# Cancels jobs, for cancel.sh and poll.sh. Jobs that have not started never run, even if the batch system starts them later.

# Takes the run-once guards of elements that have not started: their script finds the guard and ends. ln makes many links
# at once, each named like the last part of its target.
#   $1 the bundle; the elements are read from standard input
withdraw_elements() {
  sed 's/^/cancelled\//' | (cd "$1/guards" 2>/dev/null && xargs -n 500 sh -c 'ln -s "$@" ./' sh 2>/dev/null)
}
numbered() { awk "$awk_numbers"'BEGIN { numbers(ARGV[1], some); for (i in some) print ARGV[2] + i }' "$1" "${2:-0}"; }

# Cancels jobs. The file $1 has a line for each batch, fields separated by tabs:
#   folder (may be empty)  name  id or -  first element  indices to cancel (all if empty)  one, array or members
# With "members", some jobs of a pack are cancelled, and the fifth field has their elements instead of indices.
# Success does not prove that anything was cancelled: a poll observes that.
cancel_batches() {
  awk -F '\t' '$6 != "members"' "$1" >"$scratch/cancel"
  awk -F '\t' "$awk_numbers"'$6 == "members" { split("", some); numbers($5, some); for (i in some) print $1 "\t" $4 "\t" i }' \
    "$1" >"$scratch/members"
  awk -F '\t' '$1 != "" { print $1 FS $4 FS ($5 == "" ? "-" : $5) }' "$scratch/cancel" >"$scratch/withdrawn"
  while IFS=$tab read -r folder first list; do
    if [ "$list" != - ]; then numbered "$list" "$first"
    elif [ -e "$folder/batches/$first/members" ]; then cut -f 1 "$folder/batches/$first/members"
    else echo "$first"; fi | withdraw_elements "$folder"
  done <"$scratch/withdrawn"

  # A job of a pack that has started is ended by the script that runs it, which looks for these files. For a job that has
  # not started we write its end file.
  while IFS=$tab read -r folder first element; do
    pack=$folder/batches/$first
    [ -e "$pack/members" ] || continue
    mkdir -p "$pack/cancel" && : >"$pack/cancel/$element" || return
    if ln -s "cancelled/$element" "$folder/guards/$element" 2>/dev/null; then
      printf 'scheduler: job %s CANCELLED AT %s before it began\n' "$element" "$(date -u +%Y-%m-%dT%H:%M:%S)" >"$pack/member.$element"
      printf '%s 0 exit=143 signal=TERM started= ended=%s host= id=cancelled missing= cannot=\n' "$element" "$(date +%s)" \
        >"$folder/ends/.$element.cancelled" && mv "$folder/ends/.$element.cancelled" "$folder/ends/$element.0"
    fi
  done <"$scratch/members"
  [ ! -s "$scratch/cancel" ] || (batch_cancel "$scratch/cancel" </dev/null)
}
