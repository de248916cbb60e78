"""The content of a job, in named parts with digests, so that two of them can be compared. Nothing is sent here."""
