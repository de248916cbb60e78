"""Job, Resources, Retry: what they accept, refuse and report."""
