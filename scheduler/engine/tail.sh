# Prints the last lines of a job's standard output or error, of its last bytes only: a line may have any length.
#   $1 folder of the bundle  $2 element  $3 stdout or stderr  $4 number of lines  $5 number of bytes
[ -d "$1" ] || die "the remote folder of its submission, $1, no longer exists"
cd "$1/$2" 2>/dev/null || exit 0   # the job has not started
newest=$(ls -t "$3".* 2>/dev/null | head -n 1)
[ -f "$newest" ] || exit 0
tail -c "${5:-65536}" "$newest" | tail -n "$4"
