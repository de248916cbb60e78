# Cancels jobs. Reads a line for each batch, fields separated by tabs:
#   folder  name  id or -  first element  indices to cancel (all if empty)  one, array or members
# With "members", some jobs of a pack are cancelled, and the fifth field has their elements instead of indices.
# Success does not prove that anything was cancelled: the next poll observes that.
trap '' PIPE HUP INT
make_scratch
cat >"$scratch/request"
awk -F '\t' '$6 != "members"' "$scratch/request" >"$scratch/cancel"
awk -F '\t' "$awk_numbers"'$6 == "members" { split("", some); numbers($5, some); for (i in some) print $1 "\t" $4 "\t" i }' \
  "$scratch/request" >"$scratch/members"

# A job of a pack that has started is ended by the script that runs it, which looks for these files. For a job that has not
# started we take the run-once guard, so that it never starts, and write its end file.
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
