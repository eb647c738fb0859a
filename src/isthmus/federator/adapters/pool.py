"""Connections to remotes that are kept for the next call, for as long as all that they rest on stays the same."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.view import Bridged
from isthmus.federator.adapters.http1 import Http
from isthmus.federator.adapters.mtls import Now, connect, context_of, utc_now
from isthmus.federator.calling import CallFailed, Channel, Identity, Place, Reply, Way

HTTPS = 443
# Well below the time after which the ingress closes a connection that rests: neither end must do so while the other
# sends.
IDLE_SECONDS = 30.0
MOST_IDLE = 16


@dataclass(eq=False)
class _Connection:
    """`cut`: it was closed by us, whoever used it."""

    http: Http
    place: Place
    ends_at: float
    cut: bool = False
    timer: asyncio.TimerHandle | None = None


@dataclass(eq=False)
class _Remote:
    """All connections that rest on one identity."""

    domain: BackendDomain
    digest: bytes
    context: ssl.SSLContext
    idle: dict[Place, list[_Connection]] = field(default_factory=lambda: defaultdict(list))
    busy: set[_Connection] = field(default_factory=set)
    retired: bool = False


@dataclass(frozen=True, slots=True)
class _Channel:
    pool: "Pool"
    remote: _Remote
    connection: _Connection

    async def exchange(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        return await self.pool.exchange(self.remote, self.connection, path, headers, body)


class Pool:
    """`isthmus.federator.calling.Carrier`. A remote whose identity changes gets new connections; calls on the old
    ones end undisturbed, unless they are cut."""

    def __init__(self, now: Now = utc_now) -> None:
        self._now = now
        self._remotes: dict[BackendDomain, _Remote] = {}
        self._draining: set[_Remote] = set()
        self.handshakes = 0

    async def reach(self, identity: Identity, way: Way, *, fresh: bool) -> Channel:
        remote = self._of(identity)
        connection = None if fresh else self._rested(remote, way.place)
        if connection is None:
            connection = await self._opened(remote, identity, way)
        remote.busy.add(connection)
        if remote.retired:
            # It was while the handshake went on.
            self._draining.add(remote)
        return _Channel(self, remote, connection)

    async def exchange(
        self, remote: "_Remote", connection: "_Connection", path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """One exchange of a channel; then its connection rests, or is closed."""
        try:
            reply = await connection.http.exchange(path, headers, body)
        except CallFailed as failure:
            if connection.cut:
                detail = "the remote's standing changed while the call was under way"
                raise CallFailed("target_denied", "remote_cut", detail, sent=True, heard=failure.heard) from None
            raise
        finally:
            remote.busy.discard(connection)
            if remote.retired and not remote.busy:
                self._draining.discard(remote)
        self._rest(remote, connection)
        return reply

    def renew(self, domain: BackendDomain, digest: bytes | None, *, cut: bool) -> None:
        """The identity of this remote is another one now, or None. `cut` ends calls that are under way too."""
        remote = self._remotes.get(domain)
        if remote is not None and remote.digest != digest:
            self._retire(self._remotes.pop(domain))
        if cut:
            former = [each for each in self._draining if each.domain == domain]
            for each in [*former, *([remote] if remote is not None else [])]:
                _cut(each.busy)

    def keep(self, domain: BackendDomain, bridges: Collection[Bridged]) -> None:
        """Those over a bridge that is none of these are closed, whoever uses them."""
        remotes = [each for each in (self._remotes.get(domain), *self._draining) if each and each.domain == domain]
        for remote in remotes:
            for place in [each for each in remote.idle if each[1] is not None and each[1] not in bridges]:
                for connection in remote.idle.pop(place):
                    _stop(connection)
                    connection.http.close()
            _cut(each for each in remote.busy if each.place[1] is not None and each.place[1] not in bridges)

    @property
    def domains(self) -> list[BackendDomain]:
        """Those to which there are connections."""
        return list(self._remotes)

    def close(self) -> None:
        """Close all, running calls too."""
        for domain in self.domains:
            self.renew(domain, None, cut=True)

    def _of(self, identity: Identity) -> _Remote:
        remote = self._remotes.get(identity.domain)
        if remote is None or remote.digest != identity.digest:
            context = context_of(identity)
            if remote is not None:
                self._retire(remote)
            remote = self._remotes[identity.domain] = _Remote(identity.domain, identity.digest, context)
        return remote

    def _rested(self, remote: _Remote, place: Place) -> _Connection | None:
        resting = remote.idle.get(place, [])
        while resting:
            connection = resting.pop()
            _stop(connection)
            _forget_empty(remote, place)
            if connection.http.is_usable and self._now().timestamp() < connection.ends_at:
                return connection
            connection.http.close()
        return None

    async def _opened(self, remote: _Remote, identity: Identity, way: Way) -> _Connection:
        secured = await connect(identity, way, remote.context, self._now)
        self.handshakes += 1
        target = way.target
        authority = target.host if target.port == HTTPS else f"{target.host}:{target.port}"
        # No connection outlives the certificate that it was trusted for.
        return _Connection(Http(secured.wire, authority), way.place, secured.leaf.not_after.timestamp())

    def _rest(self, remote: _Remote, connection: _Connection) -> None:
        is_full = len(remote.idle.get(connection.place, ())) >= MOST_IDLE
        if remote.retired or not connection.http.is_usable or is_full:
            connection.http.close()
            return
        remote.idle[connection.place].append(connection)
        connection.timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, remote, connection)

    def _expire(self, remote: _Remote, connection: _Connection) -> None:
        if connection in remote.idle.get(connection.place, ()):
            remote.idle[connection.place].remove(connection)
            _forget_empty(remote, connection.place)
        connection.http.close()

    def _retire(self, remote: _Remote) -> None:
        remote.retired = True
        for connection in [each for resting in remote.idle.values() for each in resting]:
            _stop(connection)
            connection.http.close()
        remote.idle.clear()
        if remote.busy:
            self._draining.add(remote)


def _forget_empty(remote: _Remote, place: Place) -> None:
    """A remote may give itself another name in DNS as often as it likes."""
    if not remote.idle[place]:
        del remote.idle[place]


def _cut(connections: Iterable[_Connection]) -> None:
    for connection in list(connections):
        connection.cut = True
        connection.http.abort()


def _stop(connection: _Connection) -> None:
    if connection.timer is not None:
        connection.timer.cancel()
        connection.timer = None
