"""The command `scheduler`, run as a person runs it: other processes, a folder of its own, no state in common."""
