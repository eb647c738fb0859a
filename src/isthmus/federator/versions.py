"""What each remote says that it serves, asked for once in an hour: the version it is spoken to in, and its calls.

What it says and does not do is not asked of it again for a while, and is a finding until it says something else.
"""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.finding import CAPABILITY_DRIFT
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.sending import common_version
from isthmus.domain.federation.view import Known
from isthmus.federator.calling import CallFailed, Reply
from isthmus.federator.ports import Rows
from isthmus.protocol.federation import Admits, Rpc

LIFE = 3600.0
DRIFTED_LIFE = 60.0
"""How soon one is asked again that says what is not so: it may have been told, or brought up to date."""
MOST_REMOTES = 4096
NO_VERSION = "unsupported_version"
NO_CALL = "route_not_found"


class _Listed(Struct):
    # A newer remote may list anything that it likes beside.
    versions: Annotated[list[int], Meta(max_length=64)]
    calls: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=1024)] = []


@dataclass(slots=True)
class _Said:
    """What a remote listed, until when that counts, and what of it is `false` until when. `doubted` is what it did not
    do once: it may have become another one since it was asked, so it is asked again before that is put against it."""

    generation: int
    until: float
    versions: frozenset[int]
    claims: frozenset[str]
    doubted: set[str] = field(default_factory=set)
    false: dict[str, float] = field(default_factory=dict)


def asks_for_version(rpc: Rpc) -> bool:
    """Whether the version is agreed on first. Calls that open or end a relation work before and after that, in the
    first version."""
    return rpc.admits == frozenset({Admits.ACTIVE})


class Capabilities:
    """What each remote listed, by domain and generation of its entry."""

    def __init__(self, rows: Rows, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows = rows
        self._clock = clock
        self._said: dict[BackendDomain, _Said] = {}

    async def version(self, known: Known, call: str, ours: Collection[int], ask: Callable[[], Awaitable[Reply]]) -> int:
        """The highest common version for `call`, which is `component/rpc`. Raises `Denied` with `unsupported_version`,
        or `target_denied` where the remote does not serve the call although it says so, and what `ask` raises."""
        said = self._said.get(known.domain)
        if said is None or said.generation != known.generation or self._clock() >= said.until:
            said = self._listed(known, said, _read(await ask()))
        if call in said.false:
            detail = f"the remote says that it serves {call} and does not: isthmus findings"
            raise Denied("target_denied", "capability.call", detail, facts={"call": call})
        return common_version(ours, sorted(each for each in said.versions if _version(each) not in said.false))

    def refused(self, domain: BackendDomain, call: str, version: int, code: str) -> None:
        """The remote has answered `call` in `version` with that code."""
        said = self._said.get(domain)
        if said is None or code not in (NO_VERSION, NO_CALL):
            return
        what = _version(version) if code == NO_VERSION else call
        if what in said.doubted and what in said.claims:
            now = self._clock()
            said.false[what] = now + LIFE
            said.until = min(said.until, now + DRIFTED_LIFE)
            self._rows.suspect(CAPABILITY_DRIFT, domain, {"false": sorted(said.false)})
        elif code == NO_VERSION or what in said.claims:
            said.doubted.add(what)
            said.until = 0.0

    def _listed(self, known: Known, before: _Said | None, listed: _Listed) -> _Said:
        now, versions = self._clock(), frozenset(listed.versions)
        claims = frozenset([*map(_version, versions), *listed.calls])
        said = _Said(known.generation, now + LIFE, versions, claims)
        if before is not None and before.generation == known.generation:
            said.doubted = before.doubted & claims
            # It may be served by now: after a while that is tried again.
            said.false = {each: until for each, until in before.false.items() if each in claims and until > now}
            if before.false and not said.false:
                self._rows.cleared(CAPABILITY_DRIFT, known.domain)
        if said.false:
            said.until = now + DRIFTED_LIFE
        while len(self._said) >= MOST_REMOTES:
            self._said.pop(next(iter(self._said)))
        self._said[known.domain] = said
        return said


def _version(number: int) -> str:
    return f"version {number}"


def _read(reply: Reply) -> _Listed:
    try:
        return msgspec.json.decode(reply.body, type=_Listed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = f"the remote's list of versions cannot be read: {error}"
        raise CallFailed("remote_protocol_error", "answer.versions", detail[:200], sent=True, heard=True) from None
