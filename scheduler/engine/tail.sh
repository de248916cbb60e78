# The last lines of a job's standard output or error.  $1 bundle folder  $2 element  $3 stdout or stderr  $4 lines
[ -d "$1" ] || die "the folder of its submission, $1, is gone"
cd "$1/$2" 2>/dev/null || exit 0   # it has not begun
newest=$(ls -t "$3".* 2>/dev/null | head -n 1)
[ -n "$newest" ] || exit 0
tail -n "$4" "$newest"
