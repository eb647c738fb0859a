"""What `isthmus agent status` shows, as one typed value."""

import time

import msgspec

from isthmus.agent.apply import Applier
from isthmus.agent.bridge_status import BridgedStatus, bridged_status
from isthmus.agent.contact import Contact
from isthmus.agent.desired import Role, read
from isthmus.agent.observed import HostState
from isthmus.agent.ports import Kind
from isthmus.agent.state import Identity
from isthmus.agent.ways import found
from isthmus.domain.errors import Refusal
from isthmus.protocol.agent import Config
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import PeerState


class NeighbourStatus(msgspec.Struct, frozen=True):
    """`name` is None for a peer that is not in the config; `latest_handshake` in Unix seconds, sizes in bytes.

    `way` is how packets go to it now: "direct", or "via" and the name of a jump peer. Of a jump peer it says whether
    it is "in use" for all others, else it is None.
    """

    name: str | None
    role: str | None
    public_key: str
    endpoint: str | None
    latest_handshake: int | None
    rx: int
    tx: int
    way: str | None = None


class Status(msgspec.Struct, frozen=True):
    """`addresses` are those on the interface; `is_up` is False without one. The server is unknown to a stopped agent:
    then `running` is False, `reachable` too, and `desired_revision` is None. `blocked_by` is an open incident's id.
    """

    peer: str
    network: str
    server: str
    interface: str
    backend: Kind
    is_up: bool
    addresses: list[str]
    applied_revision: int
    desired_revision: int | None
    running: bool
    reachable: bool
    connected_by: str | None
    last_contact: int | None
    error: str | None
    ended: bool
    blocked_by: str | None
    neighbours: list[NeighbourStatus]
    bridged: BridgedStatus | None


def status_of(identity: Identity, applier: Applier, host: tuple[HostState, Kind], note: Contact | None) -> Status:
    """`note` is the running agent's, None when none runs."""
    observed, backend = host
    roles = _roles(applier.applied.config) if applier.applied else {}
    peers = observed.wireguard.peers if observed.wireguard else {}
    ways = _ways(applier, observed)
    link = observed.link
    return Status(
        peer=identity.peer_name,
        network=identity.network_name,
        server=identity.server,
        interface=applier.interface,
        backend=backend,
        is_up=link is not None and link.is_up,
        addresses=sorted(map(str, link.addresses)) if link else [],
        applied_revision=applier.revision,
        # The note is as old as the last contact; what came since then and was applied was desired as well.
        desired_revision=max(note.desired_revision, applier.revision) or None if note else None,
        running=note is not None,
        reachable=note is not None and note.reachable,
        connected_by=note.by if note else None,
        last_contact=note.last if note else None,
        error=note.error if note else None,
        ended=identity.ended,
        blocked_by=note.incident if note else None,
        neighbours=[_neighbour(key, peer, roles, ways) for key, peer in sorted(peers.items())],
        bridged=bridged_status(applier, peers),
    )


def _roles(config: Config) -> dict[str, tuple[str, str]]:
    """Name and role of each neighbour by public key."""
    crossings = config.bridged.crossings if config.bridged else ()
    remotes = {crossing.public_key: (crossing.name, str(Role.REMOTE)) for crossing in crossings}
    return remotes | {each.public_key: (each.name, each.role) for each in config.neighbours}


def _ways(applier: Applier, observed: HostState) -> dict[PublicKey, str]:
    try:
        desired = read(applier.applied.config) if applier.applied else None
    except Refusal:
        # Written by a newer version.
        return {}
    if desired is None:
        return {}
    now = found(desired, observed.wireguard, time.time())
    serving = now.jump or next(iter(desired.jumps), None)
    others = f"via {desired.neighbours[serving].name}" if serving else None
    ways: dict[PublicKey, str] = {}
    for key, neighbour in desired.neighbours.items():
        if neighbour.role in (Role.MEMBER, Role.REMOTE) or key in now.open:
            ways[key] = "direct"
        elif neighbour.role is Role.DIRECT and others:
            ways[key] = others
    return ways | ({serving: "in use"} if serving else {})


def _neighbour(
    key: PublicKey, peer: PeerState, roles: dict[str, tuple[str, str]], ways: dict[PublicKey, str]
) -> NeighbourStatus:
    name, role = roles.get(str(key), (None, None))
    return NeighbourStatus(
        name=name,
        role=role,
        public_key=str(key),
        endpoint=None if peer.endpoint is None else str(peer.endpoint),
        latest_handshake=peer.latest_handshake,
        rx=peer.rx,
        tx=peer.tx,
        way=ways.get(key),
    )
