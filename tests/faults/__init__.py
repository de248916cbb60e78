"""Injected faults, and what must hold after each: every job ran once, its state is true, its outputs are complete."""
