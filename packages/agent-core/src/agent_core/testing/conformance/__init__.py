"""One suite a port: subclass it, give it your adapter, and pytest runs the port's promises against it."""
