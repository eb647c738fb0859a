"""The event stream of people and their tools, as plain ASGI."""
