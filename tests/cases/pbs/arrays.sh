# shellcheck shell=sh disable=SC2086
# Holds, releases and deletes arrays and their tasks, and prints what each command prints: arrays.txt is what OpenPBS
# 23.06.06 on Debian 12 printed for a user alice. test_fake.py runs it on the fake PBS.
export TZ=UTC
cd ~ || exit
show() { echo "## $*"; "$@" 2>&1; echo "-- rc $?"; }
sub() { echo 'sleep 1000' | qsub "$@"; }
A=$(sub -N arrh -h -J 0-2)
C=$(sub -N arrw -J 0-1 -a 203001010000)
D=$(sub -N arrq -J 0-3 -l select=1:ncpus=4)
E=$(sub -N one -h); F=$(sub -N two -l select=1:ncpus=64)
sleep 1
show qstat -u $USER -w -t -s
qhold "$D"; sleep 1
show qstat -u $USER -w -t -s
show qstat -u $USER -w
show qstat -u $USER -t
show qstat -t "$A"
show qstat -t "$D"
show qstat -J
show qstat -t
show qstat "$D"
show qstat -s "$D"
show qselect -T -u $USER
show qselect -s H -u $USER
show qselect -T -s H -u $USER
show qhold "${D%%[*}[1].pbslogin"
show qhold "${D%%[*}[0-1].pbslogin"
show qhold "${D%%[*}.pbslogin"
show qhold 99999
show qhold x
show qhold
show qrls
show qrls 99999
show qrls "${D%%[*}[1].pbslogin"
show qhold "$D"
show qhold "$E" 
show qhold -h o "$E"
show qhold -h s "$E"
show qhold -h z "$E"
show qrls "$D"; sleep 1
show qstat -u $USER -w -t -s
show qdel "${D%%[*}[3].pbslogin"
show qdel "${A%%[*}[1].pbslogin"
show qdel "${A%%[*}[0-1].pbslogin"
show qdel "${A%%[*}[1].pbslogin"
show qdel "${A%%[*}[7].pbslogin"
show qdel "${A%%[*}[0-1].pbslogin"
show qdel "${A%%[*}[1-9].pbslogin"
show qdel "${A%%[*}[0,2].pbslogin"
show qdel "${A%%[*}[x].pbslogin"
show qdel "${A%%[*}.pbslogin"
sleep 1
show qstat -u $USER -w -t -s
show qstat -u $USER -w -s
show qstat -t "${A}"
show qstat "${A%%[*}[1].pbslogin"
show qstat "${A%%[*}[1-2].pbslogin"
show qstat -x "${A%%[*}[1].pbslogin"
show qstat -u nobodyhere -w -t
show qstat -x -f -F dsv 99999
show qstat -x -t -f -F dsv "99999[].pbslogin"
show qdel "$E"
show qhold "$E"
show qrls "$E"
show qdel "$E"
show qdel "$A"
show qhold "$A"
show qdel "$C"
show qdel "$D"
show qdel "$F"
