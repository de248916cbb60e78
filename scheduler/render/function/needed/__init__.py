"""What a function needs of the user's modules: statements, and installed packages. Syntax only, nothing is run."""
