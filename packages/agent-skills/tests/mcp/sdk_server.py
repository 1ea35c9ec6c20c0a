"""A server by the `mcp` SDK, over standard input and output: an oracle for our client."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("oracle")


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    server.run("stdio")
