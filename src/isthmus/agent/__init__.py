"""The agent: keeps one host's WireGuard interface as the server wants it."""
