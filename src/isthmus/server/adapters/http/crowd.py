"""Connections that have proven nothing and keep us waiting: how many there may be, of one source and in all."""

import asyncio
import ipaddress
from typing import Protocol

GRACE_SECONDS = 5.0
"""A thousand agents behind one address may come back at once: only who has kept us waiting for so long is turned
away."""

SOURCES = 4
"""So many sources may have all that they are allowed at a time."""

PREFIX_V6 = 64
EVERYBODY = ""


class Waiting(Protocol):
    def turn_away(self) -> None:
        """Refuse and close, which ends in `leave`."""


class Crowd:
    """Whoever has waited the longest goes first, so those who hold connections idly keep no others out.

    `files` is how many there may be whatever they have waited: this process may open no more.
    """

    def __init__(self, per_source: int, files: int) -> None:
        self._most = per_source
        self._files = files
        # Ordered by age, as dictionaries are.
        self._since: dict[str, dict[Waiting, float]] = {EVERYBODY: {}}
        self._looking: set[str] = set()

    def join(self, source: str, connection: Waiting) -> None:
        """From now on `connection` keeps us waiting."""
        key, now = source_of(source), asyncio.get_running_loop().time()
        for each in (key, EVERYBODY):
            self._since.setdefault(each, {})[connection] = now
            if len(self._since[each]) > self._allowed(each):
                self._look_later(each, GRACE_SECONDS)
        if len(self._since[EVERYBODY]) > self._files:
            next(iter(self._since[EVERYBODY])).turn_away()

    def leave(self, source: str, connection: Waiting) -> None:
        key = source_of(source)
        for each in (key, EVERYBODY):
            self._since.get(each, {}).pop(connection, None)
        if not self._since.get(key, True):
            del self._since[key]

    def _allowed(self, key: str) -> int:
        return self._most if key else SOURCES * self._most

    def _look_later(self, key: str, seconds: float) -> None:
        if key not in self._looking:
            self._looking.add(key)
            asyncio.get_running_loop().call_later(seconds, self._look, key)

    def _look(self, key: str) -> None:
        self._looking.discard(key)
        now = asyncio.get_running_loop().time()
        while len(self._since.get(key, ())) > self._allowed(key):
            connection, since = next(iter(self._since[key].items()))
            if now < since + GRACE_SECONDS:
                self._look_later(key, since + GRACE_SECONDS - now)
                return
            connection.turn_away()


def source_of(host: str) -> str:
    """Who is one source: an address, or the prefix out of which one host has as many IPv6 addresses as it likes."""
    if ":" not in host:
        return host
    return str(ipaddress.IPv6Network((host.partition("%")[0], PREFIX_V6), strict=False))
