"""Is a site as its file says, and would a job go all the way? What is asked, what it means, and tiny jobs to try it."""
