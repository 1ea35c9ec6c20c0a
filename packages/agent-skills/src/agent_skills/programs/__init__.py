"""Programs in a sandbox of their own: what the shell, full Python and the scripts of skill folders run in."""
