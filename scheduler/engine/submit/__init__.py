"""Submitting: a recorded bundle is uploaded and handed to the batch system, exactly once."""
