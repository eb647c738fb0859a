"""Begins handshakes anew that stay unanswered: WireGuard itself waits five seconds before it does."""

import asyncio

from isthmus.agent.apply import Applier
from isthmus.agent.pace import Pace

# Far enough apart for the longest round trips; after these the neighbour is away, and WireGuard goes on by itself.
PAUSES = (0.3, 0.6, 1.2)


class Handshakes:
    """After a change of keys one side knows the new one a moment before the other, and its first try may be lost."""

    def __init__(self, applier: Applier, pace: Pace) -> None:
        self._applier = applier
        self._pace = pace
        self._begun = asyncio.Event()

    def begun(self) -> None:
        """Neighbours were told of, or told anew, that this host begins handshakes with."""
        self._begun.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._begun.wait()
            self._begun.clear()
            for pause in PAUSES:
                await asyncio.sleep(pause * self._pace.spread(1.0, 1.3))
                if not await self._applier.begin_again():
                    break
