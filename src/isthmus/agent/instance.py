"""The instance on this host: its leaf, asked of the server, and renewed at half of its life.

`STATE/instance/chain.pem` and `key.pem` are for whatever on this host calls other backends in this one's name. Both
change at once, the pair before stays beside them, and the key never leaves the host. Whether there is to be one says
the folder: it is made when somebody asks for an instance.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from isthmus.agent.errors import InstanceRefused, SessionEnded, Unreachable
from isthmus.agent.pace import Pace
from isthmus.agent.ports import Issuer

if TYPE_CHECKING:
    from isthmus.domain.federation.certificate import LeafFacts

log = structlog.get_logger()


def now() -> datetime:
    return datetime.now(UTC)


class InstanceLeaf:
    """What reads certificates is loaded on use: most hosts have no instance, and do without its memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_wanted(self) -> bool:
        return self.folder.is_dir()

    def want(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def present(self) -> "LeafFacts | None":
        """The leaf in use; None where there is none, or its files are damaged."""
        from isthmus.x509.pair import PairUnusable, load_folder

        try:
            return load_folder(self.folder / "current").leaf
        except PairUnusable:
            return None

    def left(self, at: datetime) -> timedelta:
        """How long until another one is due; nothing where there is none of use."""
        leaf = self.present()
        if leaf is None or at < leaf.not_before:
            return timedelta()
        return max(timedelta(), leaf.not_before + leaf.life / 2 - at)

    async def renew(self, server: Issuer) -> str:
        """A new key, and a leaf for it; returns what the instance is called. Raises `InstanceRefused`, `Unreachable` or
        `SessionEnded`."""
        from isthmus.x509.pair import PairUnusable
        from isthmus.x509.pair_files import keep_pair
        from isthmus.x509.request import make_request

        key, request = make_request()
        answer = await server.instance(request)
        try:
            keep_pair(self.folder, answer.chain.encode(), key)
        except PairUnusable as unusable:
            raise Unreachable(f"the server sent a leaf that is of no use: {unusable}") from None
        return answer.name


class Keeper:
    """Keeps the leaf of a running agent young."""

    def __init__(self, leaf: InstanceLeaf, server: Issuer, pace: Pace, clock: Callable[[], datetime] = now) -> None:
        self._leaf = leaf
        self._server = server
        self._pace = pace
        self._clock = clock

    async def run(self) -> None:
        """For ever. The clock may jump, and somebody may ask for an instance meanwhile, so it looks again and again."""
        failures = 0
        while True:
            if not self._leaf.is_wanted or self._leaf.left(self._clock()) > timedelta():
                await asyncio.sleep(self._pace.look_at_instance)
                continue
            try:
                name = await self._leaf.renew(self._server)
                log.info("the instance has a new leaf", name=name)
                failures = 0
            except InstanceRefused as refused:
                log.warning("no leaf for the instance", problem=str(refused))
                await asyncio.sleep(self._pace.while_refused())
            except (Unreachable, SessionEnded, OSError) as error:
                # Whether the session is over is for the stream to find out.
                log.warning("no leaf for the instance", problem=str(error))
                await asyncio.sleep(self._pace.pause(failures))
                failures += 1
