"""How one command and its bytes reach a machine. No word of jobs here."""
