"""How the user's modules differ in this process from their files. None of the user's code is run."""
