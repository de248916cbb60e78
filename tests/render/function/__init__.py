"""How functions travel: packed here, really run by run_function.py under every Python of this machine."""
