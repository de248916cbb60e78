"""Rules for the code itself: imports, sizes, public names, the wheel, references in the documentation."""
