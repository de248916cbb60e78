"""SSH by the ssh command, through a control master that is kept open."""
