"""Schedules: runs that begin by the clock, as the key that made them."""
