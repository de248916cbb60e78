"""What only the Paramiko transport does."""
