"""The access control list: who is left out of every config, and which incidents are the reason."""

from collections.abc import Iterable

from isthmus.domain.ids import IncidentId, PeerId
from isthmus.domain.mesh.incident import Incident


def blocked_by(incidents: Iterable[Incident]) -> dict[PeerId, tuple[IncidentId, ...]]:
    """The peers that open incidents block, each with these incidents in the order in which they were opened."""
    found: dict[PeerId, list[Incident]] = {}
    for incident in incidents:
        if incident.is_open and incident.blocks:
            found.setdefault(incident.peer_id, []).append(incident)
    return {
        peer_id: tuple(incident.id for incident in sorted(reasons, key=lambda each: (each.detected_at, each.id)))
        for peer_id, reasons in found.items()
    }


def is_blocked(peer_id: PeerId, incidents: Iterable[Incident]) -> bool:
    """Whether one of `incidents` keeps the peer out."""
    return peer_id in blocked_by(incidents)
