"""(jobs, site) → bundle: the scripts and files of one submission. Nothing is sent or run here."""
