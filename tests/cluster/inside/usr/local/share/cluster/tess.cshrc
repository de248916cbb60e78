# The start-up file of a physicist: it talks on both streams, also when no one listens.
echo "*** Welcome to the login node. Quota: 87 % used ***"
sh -c 'echo "module: command not found" >&2'
