"""The web for skills: which addresses may be reached, and how a page is got and read."""
