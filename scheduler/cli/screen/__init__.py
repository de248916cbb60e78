"""What the command prints: tables, columns, progress, and how text is made safe for a terminal."""
