"""Use cases of the server, one module per subject."""
