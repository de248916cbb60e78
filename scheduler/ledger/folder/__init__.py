"""The state folder, where the ledger is: its file system, who could change it, and the processes that use it."""
