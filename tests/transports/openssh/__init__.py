"""What only the transport of the ssh command does."""
