"""REST for people and scripts: parse, call a use case, show the result."""
