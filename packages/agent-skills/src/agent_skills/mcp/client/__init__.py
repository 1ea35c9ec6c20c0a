"""Servers of others: a connection that one task owns, and their tools as skills."""
