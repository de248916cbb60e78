"""Job files and sweeps."""
