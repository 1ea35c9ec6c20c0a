"""Our tools for others: an MCP server, over HTTP (ASGI) and over standard input and output."""
