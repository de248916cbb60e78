"""The whole way: real jobs, from a Job object here to its outputs here, on every kind of site that can be had."""
