"""What became of a job: its facts, and its result."""
