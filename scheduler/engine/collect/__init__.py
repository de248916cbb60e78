"""Collecting: declared outputs are listed, downloaded, verified and put in place."""
