# Cancels the jobs of a request, which withdraw.sh describes: a line for each batch.
#   $1 how many lines it has
trap '' PIPE HUP INT
make_scratch
read_request "$scratch/request" "$1"
cancel_batches "$scratch/request"
