"""What is done for the jobs of one site: submit, poll, collect, cancel. The only package that acts on a cluster."""
