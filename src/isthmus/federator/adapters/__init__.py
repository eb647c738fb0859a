"""What connects the Federator to the world: DNS, mutual TLS, the ingress, and its own server."""
