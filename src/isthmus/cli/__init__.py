"""The command line, the one package that sees all processes."""
