# Takes a piece of a bundle that is too large for one channel; the bundle itself comes when all of it is there.
#   $1 work folder  $2 token  $3 name of the piece, or empty: what has come by now is listed, a line each: size, name
# Reads the piece, and prints its size. It prints "there" if the bundle is there already. Pieces of bundles that nobody
# has gone on with for 30 days are removed; who comes back all the same sends them once more.
work=$1 token=$2 piece=$3
mkdir -p "$work/.staged-$token" || die "cannot make the work folder $work"
cd "$work" || die "cannot enter the work folder $work"
touch ".staged-$token" ".staged-$token/.scheduler" || die "cannot write in $work (is the disk full?)"
for old in .staged-*; do
  [ ! -e "$old/.scheduler" ] || find "$old" -prune -type d -mtime +30 -exec rm -rf '{}' +
done
if [ -e "$token/.scheduler" ]; then echo there; rm -rf ".staged-$token"; exit 0; fi
cd ".staged-$token" || die "cannot enter $work/.staged-$token"
if [ -n "$piece" ]; then
  cat >"./$piece" || die "cannot write in $work (is the disk full?)"
  printf '%s %s\n' "$(($(wc -c <"./$piece")))" "$piece"
else
  for name in *.*; do [ ! -f "$name" ] || printf '%s %s\n' "$(($(wc -c <"$name")))" "$name"; done
fi
