"""What runs inside the job, on the node: POSIX sh, and run_function.py for Python functions."""
