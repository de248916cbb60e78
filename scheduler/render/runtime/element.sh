# The files of the jobs of a batch are in one file, batches/$first/elements: a tar for each job, one after the other.
# batches/$first/index has a line for each job: the offset and the length of its tar, in blocks of 512 bytes.
umask 077

# Unpacks the files of one job into its control folder, unless they are there. The folder appears by rename, so that two
# processes can do this at the same time. If it fails, it is attempted once more after each of the `pauses` (seconds):
# a full disk may have room again.
#   $1 the bundle  $2 the first job of its batch  $3 the job
unpack_element() {
  [ ! -e "$1/$3/script.sh" ] || return 0
  unpacked=$1/.unpacked-$3-$(uname -n)-$$ words=''
  for pause in ${pauses-1 2 5 10 20} 0; do
    words=$({
      where=$(sed -n "$(($3 - $2 + 1))p" "$1/batches/$2/index") && [ -n "$where" ] && mkdir "$unpacked" &&
        dd if="$1/batches/$2/elements" bs=512 skip="${where% *}" count="${where#* }" 2>/dev/null | (unset TAR_OPTIONS TAPE POSIXLY_CORRECT && tar -xmf - -C "$unpacked") &&
        [ -e "$unpacked/script.sh" ]
    } 2>&1) && break
    rm -rf "$unpacked"
    [ "$pause" != 0 ] || { echo "scheduler: the job's files cannot be unpacked in $1 (is the disk full?); the payload was not started: $words" >&2; return 73; }
    sleep "$pause"
  done
  mv "$unpacked" "$1/$3"
  rm -rf "${1:?}/$3/${unpacked##*/}"   # another process was faster: ours was moved into its folder
  [ -e "$1/$3/script.sh" ]
}
