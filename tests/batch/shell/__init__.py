"""The queue of a machine without a batch system."""
