# The files of jobs that were submitted together lie in one file, batches/$first/elements: a tar of each, one behind the
# other. Its index has a line for each: where its tar begins, and how long it is, in blocks of 512 bytes.
umask 077

# Unpacks those of one job into its control folder, if they are not there yet: whole, by rename; of two at the same time
# one is first. A disk that is full may have room again soon: `pauses` says for how long that is waited for.
#   $1 the bundle  $2 the first of those submitted together  $3 the job
unpack_element() {
  [ ! -e "$1/$3/script.sh" ] || return 0
  unpacked=$1/.unpacked-$3-$(uname -n)-$$ words=''
  for pause in ${pauses-1 2 5 10 20} 0; do
    words=$({
      where=$(sed -n "$(($3 - $2 + 1))p" "$1/batches/$2/index") && [ -n "$where" ] && mkdir "$unpacked" &&
        dd if="$1/batches/$2/elements" bs=512 skip="${where% *}" count="${where#* }" 2>/dev/null | tar -xmf - -C "$unpacked" &&
        [ -e "$unpacked/script.sh" ]
    } 2>&1) && break
    rm -rf "$unpacked"
    [ "$pause" != 0 ] || { echo "scheduler: the job's files cannot be unpacked in $1 (is the disk full?); the payload was not begun: $words" >&2; return 73; }
    sleep "$pause"
  done
  mv "$unpacked" "$1/$3"
  rm -rf "${1:?}/$3/${unpacked##*/}"   # the other one was first: this went into its folder
  [ -e "$1/$3/script.sh" ]
}
