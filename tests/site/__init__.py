"""Site files and the catalog of sites."""
