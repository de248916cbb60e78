"""A batch system that exists for the tests alone: see ``test_toy_batch_system.py``."""
