"""The subcommands: each module is called as its subcommand. What they have in common is in the parent folder."""
