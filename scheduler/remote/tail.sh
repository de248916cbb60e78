# The last lines of a job's standard output or error.  $1 bundle folder  $2 element  $3 stdout or stderr  $4 lines
cd "$1/$2" || die "the job's folder $1/$2 is gone"
newest=$(ls -t "$3".* 2>/dev/null | head -n 1)
[ -n "$newest" ] || exit 0
tail -n "$4" "$newest"
