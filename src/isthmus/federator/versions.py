"""Which version of the federated API each remote is spoken to in: asked for once in an hour."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.sending import common_version
from isthmus.domain.federation.view import Known
from isthmus.federator.calling import CallFailed, Reply
from isthmus.protocol.federation import Admits, Rpc

LIFE = 3600.0
MOST_REMOTES = 4096


class _Listed(Struct):
    # A newer remote may list anything that it likes beside.
    versions: Annotated[list[int], Meta(max_length=64)]


def asks_for_version(rpc: Rpc) -> bool:
    """Whether the version is agreed on first. Calls that open or end a relation work before and after that, in the
    first version."""
    return rpc.admits == frozenset({Admits.ACTIVE})


class NegotiatedVersions:
    """What each remote listed, by domain and generation of its entry."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._listed: dict[BackendDomain, tuple[int, float, list[int]]] = {}

    async def of(self, known: Known, ours: Collection[int], ask: Callable[[], Awaitable[Reply]]) -> int:
        """The highest common version. Raises `Denied` with `unsupported_version`, and what `ask` raises."""
        generation, until, listed = self._listed.get(known.domain, (-1, 0.0, []))
        if generation != known.generation or self._clock() >= until:
            listed = _read(await ask())
            while len(self._listed) >= MOST_REMOTES:
                self._listed.pop(next(iter(self._listed)))
            self._listed[known.domain] = (known.generation, self._clock() + LIFE, listed)
        return common_version(ours, listed)

    def forget(self, domain: BackendDomain) -> None:
        self._listed.pop(domain, None)


def _read(reply: Reply) -> list[int]:
    try:
        return msgspec.json.decode(reply.body, type=_Listed).versions
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = f"the remote's list of versions cannot be read: {error}"
        raise CallFailed("remote_protocol_error", "answer.versions", detail[:200], sent=True, heard=True) from None
