# Sends output files. Reads the request: its first $1 bytes are about large files, for each offset, SHA-256 of the first
# "offset" bytes of the local part, size, path, each ended by NUL; then the paths of small files below /, each ended by NUL.
# For a large file it prints "from OFFSET" (0 if the remote file does not begin with the local part), the bytes from there
# on, and the SHA-256 of the whole file, which is computed meanwhile. The small files follow in one tar stream, in the order
# of the request.
# The program runs on $3 channels at once, with the same request, and $2 is the number of this channel. If there are
# several, each channel sends the bytes of the stripes (2 MB) whose turn it is. All other output is sent on channel 0, also
# the bytes before the first whole stripe.
make_scratch
cat >"$scratch/request"
if command -v sha256sum >/dev/null 2>&1; then sha256=sha256sum; else sha256='shasum -a 256'; fi
which=$2 channels=$3
export scratch sha256 which channels
head -c "$1" "$scratch/request" | xargs -0 -n 4 sh -c '
  [ "$#" -eq 4 ] || exit 0
  offset=$1 size=$3 file=$4
  if [ "$which" -eq 0 ]; then
    if [ "$offset" -gt 0 ] && [ "$(head -c "$offset" "$file" | $sha256 | cut -c 1-64)" != "$2" ]; then offset=0; fi
    printf "from %s\n" "$offset"
    $sha256 <"$file" >"$scratch/sha256" &
  fi
  if [ "$channels" -gt 1 ]; then
    stripe=2097152
    next=$(((offset + stripe - 1) / stripe))
    before=$((next * stripe < size ? next * stripe : size))
    if [ "$which" -eq 0 ] && [ "$before" -gt "$offset" ]; then
      tail -c "+$((offset + 1))" "$file" | head -c "$((before - offset))"
    fi
    next=$((next + which))
    skip=$next
    while [ "$((next * stripe))" -lt "$size" ]; do
      dd bs=65536 skip="$((skip * 32))" count=32 2>/dev/null || exit 255
      next=$((next + channels)) skip=$((channels - 1))
    done <"$file"
  elif [ "$offset" -eq 0 ]; then cat "$file"; else tail -c "+$((offset + 1))" "$file"; fi || exit 255
  [ "$which" -eq 0 ] || exit 0
  wait
  cut -c 1-64 "$scratch/sha256"
' sh || exit
[ "$which" -eq 0 ] || exit 0
tail -c "+$(($1 + 1))" "$scratch/request" >"$scratch/small"
[ ! -s "$scratch/small" ] || { cd / && tar -chf - --null -T "$scratch/small"; }
