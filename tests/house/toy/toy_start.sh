# Runs one array task of the toy batch system, and ends it after its walltime.
#   $1 script  $2 folder of the batch  $3 index
[ ! -s "$2/walltime" ] || (sleep "$(cat "$2/walltime")"; echo "toyq: the walltime is over" >>"$2/log.$3"; kill "$$") >/dev/null 2>&1 &
echo "$$" >"$2/pid.$3"
exec sh "$1"
