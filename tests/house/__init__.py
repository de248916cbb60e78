"""What holds for the code as such: who imports whom, sizes, public names, the wheel."""
