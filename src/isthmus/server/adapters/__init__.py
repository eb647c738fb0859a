"""What the server's ports are made of: HTTP, database, clock."""
