"""Slurm: its #SBATCH header, its commands, and what their output means."""
