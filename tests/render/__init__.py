"""Rendered scripts and bundles; the golden scripts are compared in full."""
