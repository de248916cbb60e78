"""The subcommands, one module each, named as it is called. What several of them use is in the parent folder."""
