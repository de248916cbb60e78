"""A pretended OpenPBS: `qsub qstat qdel qselect` and a server, standard library only. They print what real ones do."""
