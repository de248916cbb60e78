"""The poll program, its reply, and how evidence becomes a status."""
