# Cancels the jobs of a request, which withdraw.sh describes: a line for each batch.
trap '' PIPE HUP INT
make_scratch
cat >"$scratch/request"
cancel_batches "$scratch/request"
