"""What the command prints: tables, progress, messages and JSON, with text made safe for a terminal."""
