"""The ingress: an nginx, Traefik or Kubernetes configuration, rendered from typed facts, linted, applied and kept true.

Pure: `syntax`, `nginx*`, `traefik`, `kubernetes`, `arrival`, `refusals`. With files and processes: `versions`,
`process`, `runner`.
"""
