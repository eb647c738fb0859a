"""Our own client certificate: read at start, taken up anew whenever the files change, the last good one kept."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from isthmus.domain.federation.names import InfraDomain
from isthmus.federator.ports import Clock, Pair
from isthmus.x509.pair import PairUnusable, check_pair, load_folder, load_pair

log = structlog.get_logger()

LOOK_SECONDS = 0.5
# A certificate and its key are often replaced one after the other: what is half done is looked at once more.
LOOKS_BEFORE_ALARM = 3


class NewestPair:
    """The pair in `folder`, or in two files of their own. It is compared by content: how it came to change, by being
    overwritten, replaced or by a symlink, does not matter."""

    def __init__(self, source: Path | tuple[Path, Path], infra_domain: str | None, clock: Clock) -> None:
        """Raises `PairUnusable`, which names the file and the fault."""
        self._source, self._clock = source, clock
        self._infra_domains = (InfraDomain(infra_domain),) if infra_domain else ()
        self._listeners: list[Callable[[Pair], None]] = []
        self._bad_looks = 0
        self.fault = ""
        self.current = self._good()

    def subscribe(self, listener: Callable[[Pair], None]) -> None:
        """`listener` is called at once with every new pair, and now with the present one."""
        self._listeners.append(listener)
        listener(self.current)

    def look(self) -> None:
        """Take up new files. What is not usable is told once, and what was good before stays."""
        try:
            pair = self._good()
        except PairUnusable as unusable:
            self._bad_looks += 1
            if self._bad_looks >= LOOKS_BEFORE_ALARM and self.fault != str(unusable):
                self.fault = str(unusable)
                log.error("the certificate cannot be used and the last good one stays", fault=self.fault)
            return
        if self._bad_looks:
            self._bad_looks, self.fault = 0, ""
        if (pair.chain, pair.key) == (self.current.chain, self.current.key):
            return
        self.current = pair
        ends = pair.leaf.not_after.isoformat()
        log.info("a new certificate is in use", fingerprint=pair.fingerprint.hex(), ends=ends)
        for listener in self._listeners:
            listener(pair)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def _good(self) -> Pair:
        if isinstance(self._source, Path):
            found, place = load_folder(self._source), self._source / "chain.pem"
        else:
            found, place = load_pair(*self._source), self._source[0]
        wanted = self._infra_domains or tuple(InfraDomain(name) for name in found.leaf.dns_names)
        check_pair(found, place, infra_domains=wanted, now=datetime.fromtimestamp(self._clock.now(), UTC))
        return Pair(found.chain, found.key, found.leaf)
