"""Listing, downloading and verifying outputs."""
