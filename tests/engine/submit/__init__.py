"""Uploading, submitting and retrying."""
