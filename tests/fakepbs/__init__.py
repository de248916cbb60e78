"""A fake OpenPBS: `qsub qstat qdel qselect` and a server. Standard library only; the output is that of real servers."""
