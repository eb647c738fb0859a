"""Identifiers and other values that must not be mixed up with plain strings."""

from typing import NewType
from uuid import UUID

NetworkId = NewType("NetworkId", UUID)
PeerId = NewType("PeerId", UUID)
SessionId = NewType("SessionId", UUID)
UserId = NewType("UserId", UUID)
IncidentId = NewType("IncidentId", UUID)
TemplateId = NewType("TemplateId", UUID)
ApiTokenId = NewType("ApiTokenId", UUID)

PublicKey = NewType("PublicKey", str)
"""A WireGuard public key in canonical base64, checked by `isthmus.wireguard.keys`."""

Digest = NewType("Digest", bytes)
"""SHA-256 of a token with 256 random bits: all that the store knows of the token."""
