"""The scripts that run inside a job, run by every installed shell."""
