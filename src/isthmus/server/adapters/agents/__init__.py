"""The agents' side of the server: enrollment, config, heartbeats and the stream, as plain ASGI."""
