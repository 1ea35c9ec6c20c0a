"""The skills of a tenant for clients of the Model Context Protocol."""
