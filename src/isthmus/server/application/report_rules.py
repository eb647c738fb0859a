"""What a report must be before it counts: of the past, and about peers of the reporter's own network."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import PublicKey
from isthmus.protocol import agent as wire
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.ports import Store

# A clock that runs in the wrong time zone is a host's own affair; what is further ahead was made up.
CLOCKS_DIFFER = timedelta(days=1)
MOST_KEYS = 10_000


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


class ReportedKeys:
    """Whose key a report is about. The store is asked once for each key that nobody has."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nobodys: dict[str, None] = {}

    async def check(self, beat: wire.Heartbeat, memory: NetworkMemory) -> None:
        """Refuse a report on peers of another network. Keys that nobody has any more are passed over: an interface
        may still show a peer that was deleted or blocked, or got another key, a moment ago."""
        by_key, nobodys = memory.by_key, self._nobodys
        keys = [PublicKey(each.public_key) for each in beat.peers]
        absent = [key for key in keys if key not in by_key and key not in memory.ends]
        unknown = [key for key in absent if key not in nobodys]
        if not unknown:
            return
        async with self._store.reading() as tx:
            homes = await tx.peers.with_keys(unknown)
        for key in unknown:
            if key not in homes:
                self._remember(key)
        for index, report in enumerate(beat.peers):
            if homes.get(PublicKey(report.public_key), memory.network.id) != memory.network.id:
                raise InvalidValue(f"/peers/{index}/public_key", "is the key of no peer of this network")

    def _remember(self, key: str) -> None:
        if len(self._nobodys) >= MOST_KEYS:
            del self._nobodys[next(iter(self._nobodys))]
        self._nobodys[key] = None
