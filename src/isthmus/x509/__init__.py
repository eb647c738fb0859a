"""X.509 as the federation uses it: what a leaf says, whether a chain holds, and our own CA. No I/O."""
