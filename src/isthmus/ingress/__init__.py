"""The ingress: nginx or Traefik configuration, rendered from typed facts, linted, and applied."""
