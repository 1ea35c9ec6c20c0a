"""The Model Context Protocol: servers of others as skills, and our skills for others. Nothing is loaded before it is used."""
