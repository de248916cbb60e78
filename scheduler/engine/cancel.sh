# Cancels jobs. Reads a line a batch, parted by tabs: folder, name, id or -, first element, indices (all if empty); or, for
# some of the jobs that share a node, the word "members" behind them, and their elements instead of indices.
# Success here is no proof that anything was cancelled: the next poll tells.
trap '' PIPE HUP INT
make_scratch
cat >"$scratch/asked"
awk -F '\t' '$6 != "members"' "$scratch/asked" >"$scratch/cancel"
awk -F '\t' "$awk_numbers"'$6 == "members" { split("", some); numbers($5, some); for (i in some) print $1 "\t" $4 "\t" i }' \
  "$scratch/asked" >"$scratch/members"

# One that has begun is ended by the script that runs it. Of one that has not we take the guard, so that it never will.
while IFS=$tab read -r folder first element; do
  pack=$folder/batches/$first
  [ -e "$pack/members" ] || continue
  mkdir -p "$pack/cancel" && : >"$pack/cancel/$element" || exit
  if ln -s cancelled "$folder/guards/$element" 2>/dev/null; then
    printf 'scheduler: job %s CANCELLED AT %s before it began\n' "$element" "$(date -u +%Y-%m-%dT%H:%M:%S)" >"$pack/member.$element"
    printf '%s 0 exit=143 signal=TERM started= ended=%s host= id=cancelled missing= cannot=\n' "$element" "$(date +%s)" \
      >"$folder/ends/.$element.cancelled" && mv "$folder/ends/.$element.cancelled" "$folder/ends/$element.0"
  fi
done <"$scratch/members"
[ -s "$scratch/cancel" ] || exit 0
batch_cancel "$scratch/cancel" </dev/null
