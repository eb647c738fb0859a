"""Whether the Federator lives, and whether each of its parts does its work."""

import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from isthmus.federator.ports import Clock, Discovery, Pairs, Snapshots

ALARM_SECONDS = 72 * 3600.0
ALARM_FRACTION = 0.25
"""Of its life, for a certificate that lives shorter than the alarm would be early."""

RESOLVER_SECONDS = 3.0

Check = Callable[[], Awaitable[str]]
"""Why a part does not do its work; empty when it does."""


class Health(Struct, frozen=True):
    """`parts` names every part with what is wrong with it; empty text for nothing. `alarms` do not stop the work."""

    ready: bool
    parts: dict[str, str]
    alarms: list[str]


class ResolverCheck:
    """Asks the resolver at most every few seconds, and only when somebody wants to know."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._asked_at = float("-inf")
        self._fault = ""

    async def __call__(self) -> str:
        if time.monotonic() - self._asked_at >= RESOLVER_SECONDS:
            self._fault = "" if await self._discovery.is_ready() else "no resolver answers"
            self._asked_at = time.monotonic()
        return self._fault


class Readiness:
    """Asks every part. Other parts of the process add theirs to `checks`."""

    def __init__(self, snapshots: Snapshots, pairs: Pairs, clock: Clock) -> None:
        self._snapshots, self._pairs, self._clock = snapshots, pairs, clock
        self.checks: dict[str, Check] = {"snapshot": self._snapshot, "certificate": self._certificate}

    async def look(self) -> Health:
        parts = {name: await check() for name, check in self.checks.items()}
        return Health(not any(parts.values()), parts, list(self.alarms().values()))

    def alarms(self) -> dict[str, str]:
        """What an operator must see to before it stops the work, by the kind of the finding."""
        leaf, alarms = self._pairs.current.leaf, {}
        if self._pairs.fault:
            alarms["certificate_unusable"] = f"new certificate files are not usable: {self._pairs.fault}"
        left = leaf.not_after.timestamp() - self._clock.now()
        if 0 < left <= min(ALARM_SECONDS, ALARM_FRACTION * leaf.life.total_seconds()):
            alarms["certificate_expiring"] = f"the certificate expires at {leaf.not_after:%Y-%m-%d %H:%M:%S} UTC"
        if jump := self._clock.jump:
            direction = "ahead" if jump > 0 else "back"
            alarms["clock_jumped"] = f"the clock was set {direction} by {abs(jump):.0f} s and is not believed"
        return alarms

    async def _snapshot(self) -> str:
        if self._snapshots.current is not None:
            return ""
        age = self._snapshots.age
        if age == float("inf"):
            return "the server has given no snapshot yet"
        return f"the server last confirmed its snapshot {age:.0f} s ago, which is too long"

    async def _certificate(self) -> str:
        leaf, now = self._pairs.current.leaf, self._clock.now()
        if now > leaf.not_after.timestamp():
            return "the certificate has expired"
        view = self._snapshots.current
        if view is None:
            return ""
        if self._pairs.current.fingerprint in view.own_revoked:
            return "the certificate is revoked"
        if not set(view.infra_domains) & set(leaf.dns_names):
            return f"the certificate names none of the infra domains {', '.join(view.infra_domains)}"
        return ""
