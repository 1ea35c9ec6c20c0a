"""What runs inside a worker process: the standard library alone, and never a module of the host."""
