"""The audit rows of what a stream's agent was refused."""

from collections import deque
from collections.abc import Awaitable, Callable

MOST_DENIALS = 32  # audit rows that one stream may cause


class Denials:
    """One row for each refused message; above a bound they are counted and summed up at the stream's end.

    A refusal may end the stream while its row is written: `sum_up` writes what is left.
    """

    def __init__(self, record: Callable[[str, int], Awaitable[None]]) -> None:
        self._record = record
        self._count = 0
        self._due: deque[str] = deque()

    async def note(self, code: str) -> None:
        self._count += 1
        if self._count <= MOST_DENIALS:
            self._due.append(code)
            await self._write()

    async def sum_up(self) -> None:
        await self._write()
        if self._count > MOST_DENIALS:
            await self._record("sampled", self._count - MOST_DENIALS)

    async def _write(self) -> None:
        while self._due:
            await self._record(self._due[0], 0)
            self._due.popleft()
