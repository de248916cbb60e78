# Stores a range of a file that is too large for one channel. The bundle itself follows when all ranges are stored.
#   $1 work_dir  $2 token  $3 name of the range; if empty, the stored ranges are listed, a line for each: size, name
# Reads the bytes of the range, and prints its size and name. Prints "there" if the site has the bundle already. Ranges of
# bundles whose upload was not continued for 30 days are removed; if it is continued later, they are sent once more.
work=$1 token=$2 range=$3
mkdir -p "$work/.staged-$token" || die "cannot make the work_dir $work"
cd "$work" || die "cannot enter the work_dir $work"
touch ".staged-$token" ".staged-$token/.scheduler" || die "cannot write in $work (is the disk full?)"
refuse_unsafe "$PWD" ".staged-$token/.scheduler"
for old in .staged-*; do
  [ ! -e "$old/.scheduler" ] || find "$old" -prune -type d -mtime +30 -exec rm -rf '{}' +
done
if [ -e "$token/.scheduler" ]; then echo there; rm -rf ".staged-$token"; exit 0; fi
cd ".staged-$token" || die "cannot enter $work/.staged-$token"
if [ -n "$range" ]; then
  cat >"./$range" || die "cannot write in $work (is the disk full?)"
  printf '%s %s\n' "$(($(wc -c <"./$range")))" "$range"
else
  for name in *.*; do [ ! -f "$name" ] || printf '%s %s\n' "$(($(wc -c <"$name")))" "$name"; done
fi
