"""How functions travel: packed here, and run by run_function.py under every Python of this machine."""
