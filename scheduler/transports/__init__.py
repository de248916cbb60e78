"""Transports: how one command and its bytes reach a host. Nothing here knows of jobs or batch systems."""
