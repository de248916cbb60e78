# The login file of the same physicist.
echo "*** Maintenance on Tuesday, 8:00 ***"
sh -c 'echo "stty: not a terminal" >&2'
