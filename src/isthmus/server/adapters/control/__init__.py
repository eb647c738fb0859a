"""The socket by which the own Federator and ingress learn what holds, and tell what they see."""
