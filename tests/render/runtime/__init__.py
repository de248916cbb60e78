"""What runs inside the job, under every shell that is installed."""
