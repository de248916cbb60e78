"""What is done for the jobs of one site, part by part."""
