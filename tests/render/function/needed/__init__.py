"""What a function needs of the user's modules."""
