"""Who hears of a change before whom: some wait until one agent has applied it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from isthmus.domain.ids import PeerId

HOLD_SECONDS = 0.8
"""How long others wait at most. An agent that takes longer is not waited for: WireGuard makes up for it, later."""

T = TypeVar("T")


class Gates(Generic[T]):
    """Each gate opens once: when `first` has applied `revision`, when it goes away, or when its time is over.

    `on_open` gets those who waited at it.
    """

    def __init__(self, on_open: Callable[[Sequence[T]], None]) -> None:
        self._on_open = on_open
        self._shut: dict[PeerId, list[_Gate[T]]] = {}

    def shut(self, first: PeerId, revision: int, waiting: Sequence[T]) -> None:
        gate = _Gate(revision, waiting)
        self._shut.setdefault(first, []).append(gate)
        gate.timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._open, first, gate)

    def applied(self, first: PeerId, revision: int) -> None:
        for gate in tuple(self._shut.get(first, ())):
            if gate.revision <= revision:
                self._open(first, gate)

    def gone(self, first: PeerId) -> None:
        for gate in tuple(self._shut.get(first, ())):
            self._open(first, gate)

    def _open(self, first: PeerId, gate: "_Gate[T]") -> None:
        gates = self._shut[first]
        gates.remove(gate)
        if not gates:
            del self._shut[first]
        if gate.timer is not None:
            gate.timer.cancel()
        self._on_open(gate.waiting)


class _Gate(Generic[T]):
    def __init__(self, revision: int, waiting: Sequence[T]) -> None:
        self.revision = revision
        self.waiting = waiting
        self.timer: asyncio.TimerHandle | None = None
