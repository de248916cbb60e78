# Prints the last lines of a job's standard output or error.
#   $1 folder of the bundle  $2 element  $3 stdout or stderr  $4 number of lines
[ -d "$1" ] || die "the remote folder of its submission, $1, no longer exists"
cd "$1/$2" 2>/dev/null || exit 0   # the job has not started
newest=$(ls -t "$3".* 2>/dev/null | head -n 1)
[ -n "$newest" ] || exit 0
tail -n "$4" "$newest"
