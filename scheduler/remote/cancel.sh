# Cancels jobs. Reads a line a batch, parted by tabs: folder, name, id or -, first element, indices (all if empty).
# Success here is no proof that anything was cancelled: the next poll tells.
trap '' PIPE HUP INT
make_scratch
cat >"$scratch/cancel"
batch_cancel "$scratch/cancel" </dev/null
