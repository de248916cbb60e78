"""The ledger: the durable record of every job, in one SQLite file."""
