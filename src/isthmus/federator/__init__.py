"""The Federator: the only way to a remote, and the only way in behind the ingress."""
