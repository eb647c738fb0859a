"""What one reader has still to be told: a few notices, and one word per network where there were too many."""

import asyncio
from collections import deque

from isthmus.protocol.notice import MANY, Notice
from isthmus.server.application.notices import notice

ROOM = 64


class Mailbox:
    """Bounded by `ROOM` notices, then by one per network: `MANY`, with the network's latest revision."""

    def __init__(self) -> None:
        self._notices: deque[Notice] = deque()
        self._many: dict[str, Notice] = {}
        self._filled = asyncio.Event()

    def put(self, told: Notice) -> None:
        if told.network in self._many:
            self._sum_up(told)
        elif len(self._notices) < ROOM:
            self._notices.append(told)
        else:
            for each in (*self._notices, told):
                self._sum_up(each)
            self._notices.clear()
        self._filled.set()

    def _sum_up(self, told: Notice) -> None:
        # The last one counts: a network that was deleted has revision 0.
        self._many[told.network] = notice(told.network, told.revision, MANY, told.network, told.at)

    async def take(self) -> Notice:
        """The next notice, as soon as there is one."""
        while not self._notices and not self._many:
            self._filled.clear()
            await self._filled.wait()
        if self._notices:
            return self._notices.popleft()
        return self._many.pop(next(iter(self._many)))
