"""Ours and the pipeline that an expert would write by hand, side by side on the test cluster: `make bench`."""
