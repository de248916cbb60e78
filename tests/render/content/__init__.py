"""The content of a job and what of it counts."""
