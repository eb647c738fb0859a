"""What the server stores of bridges and grants beside the domain's own values."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from isthmus.domain.ids import NetworkId


@dataclass(frozen=True, slots=True)
class Wish:
    """A bridge that an operator named at the handshake. `id` is that of the invitation, and of the remote's entry from
    when there is one; the side that `proposes` it does so when the remote is active."""

    id: UUID
    network_id: NetworkId
    proposes: bool
    at: datetime
