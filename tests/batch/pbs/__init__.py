"""PBS: what its commands print is read to the right outcome, and asked for as it should be."""
