"""Where a skill runs, one level of isolation a file: see `levels`."""
