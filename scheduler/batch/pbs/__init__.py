"""PBS (OpenPBS, PBS Professional): its #PBS header, its commands, and what their output means."""
