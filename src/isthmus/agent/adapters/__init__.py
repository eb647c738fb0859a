"""What the agent's ports are made of on Linux."""
