"""What a report must be before it counts: of the past, and about peers of the reporter's own network."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import NetworkId, PublicKey
from isthmus.protocol import agent as wire
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.ports import Store

# A clock that runs in the wrong time zone is a host's own affair; what is further ahead was made up.
CLOCKS_DIFFER = timedelta(days=1)


def check_times(beat: wire.Heartbeat, now: datetime) -> None:
    """Refuse times that no clock on this side of the world shows yet."""
    latest = (now + CLOCKS_DIFFER).timestamp()
    for field, seconds in _times_of(beat):
        if seconds > latest:
            raise InvalidValue(field, "is in the future", "set the clock of this host")


def _times_of(beat: wire.Heartbeat) -> Iterator[tuple[str, int]]:
    if beat.host is not None:
        yield "/host/booted_at", beat.host.booted_at
        yield "/host/started_at", beat.host.started_at
    for index, report in enumerate(beat.peers):
        yield f"/peers/{index}/latest_handshake", report.latest_handshake
    for index, path in enumerate(beat.paths):
        yield f"/paths/{index}/since", path.since


async def check_keys(beat: wire.Heartbeat, memory: NetworkMemory, store: Store) -> None:
    """Refuse a report on peers of another network. Keys that nobody has any more are passed over: an interface
    may still show a peer that was deleted or blocked, or got another key, a moment ago."""
    unknown = [report.public_key for report in beat.peers if report.public_key not in memory.by_key]
    if not unknown:
        return
    async with store.reading() as tx:
        homes = await tx.peers.with_keys([PublicKey(key) for key in unknown])
    for index, report in enumerate(beat.peers):
        if _is_elsewhere(homes.get(PublicKey(report.public_key)), memory.network.id):
            raise InvalidValue(f"/peers/{index}/public_key", "is the key of no peer of this network")


def _is_elsewhere(home: NetworkId | None, own: NetworkId) -> bool:
    return home is not None and home != own
