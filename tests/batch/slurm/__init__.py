"""Slurm's directives and the readers of its output."""
