"""The durable record of every job: one SQLite file, its tables and rows."""
