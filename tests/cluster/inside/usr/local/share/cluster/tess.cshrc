# The start-up file of a physicist: it prints on stdout and stderr, also without a terminal.
echo "*** Welcome to the login node. Quota: 87 % used ***"
sh -c 'echo "module: command not found" >&2'
