"""Messages that cross from one process to another."""
