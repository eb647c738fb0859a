"""The provider's signing keys: read once, and anew when a token names one that is not known, or after a while."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import structlog

from isthmus.domain.errors import Unauthenticated
from isthmus.server.adapters.oidc.tokens import Key
from isthmus.server.application.throttle import Throttle
from isthmus.server.identity_ports import ProviderUnavailable
from isthmus.server.ports import Clock

log = structlog.get_logger()

# How long a key counts that the provider has taken back, where no new one brings that to light before.
FRESH = timedelta(minutes=1)
# How long keys count while the provider does not answer.
KEPT = timedelta(hours=1)
# Whoever makes up ids of keys makes us ask no more often than this.
MOST_ASKED, ASKED_WITHIN = 5, timedelta(minutes=1)
ANY = "any"

Keys = Mapping[str | None, Key]


class SigningKeys:
    """What was read replaces all that was there, so a key that the provider took back is gone with it."""

    def __init__(self, clock: Clock, read: Callable[[], Awaitable[Keys]]) -> None:
        self._clock = clock
        self._read = read
        self._keys: Keys = {}
        self._read_at: datetime | None = None
        self._trouble: ProviderUnavailable | None = None
        self._asked = Throttle(MOST_ASKED, ASKED_WITHIN)
        self._asking = asyncio.Lock()
        self._turns = 0

    async def named(self, key_id: str | None) -> Key:
        """Raises `Unauthenticated` for a key that the provider does not have, or `ProviderUnavailable`."""
        turn = self._turns
        if not self._is_younger(FRESH):
            await self._ask(turn)
        key = self._found(key_id)
        if key is None:
            await self._ask(turn)
            key = self._found(key_id)
        if key is None:
            raise self._missing()
        return key

    def _missing(self) -> Exception:
        if self._trouble is not None and not self._keys:
            return ProviderUnavailable(self._trouble.reason)
        return Unauthenticated("the token is signed by a key that the identity provider does not have")

    def _is_younger(self, age: timedelta) -> bool:
        return self._read_at is not None and self._clock.now() - self._read_at < age

    def _found(self, key_id: str | None) -> Key | None:
        """A token may name no key where there is only one."""
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _ask(self, turn: int) -> None:
        """Read them, unless that was tried since `turn`: many who wait at once are answered by one reading."""
        async with self._asking:
            now = self._clock.now()
            if self._turns != turn or self._asked.wait(ANY, now):
                return
            self._asked.failed(ANY, now)
            try:
                self._keys, self._read_at, self._trouble = await self._read(), now, None
            except ProviderUnavailable as error:
                self._trouble = error
                log.warning("the keys of the identity provider stay as they were", reason=str(error))
                if not self._is_younger(KEPT):
                    self._keys = {}
            finally:
                self._turns += 1
