"""Faults, and what must be true after each: every job ran exactly once, its state is true, its outputs are whole."""
