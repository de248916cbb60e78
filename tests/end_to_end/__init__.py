"""End to end: real jobs, from a Job object to its collected outputs, on every kind of site that is available."""
