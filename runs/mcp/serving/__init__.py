"""Our MCP server: memories and runs for whoever speaks the protocol, at `/mcp` and by `manage.py mcp`."""
