"""Who decides on the ways of packets, as the applier asks for it."""

import time
from collections.abc import Iterable
from typing import Protocol

from isthmus.agent.desired import Desired
from isthmus.agent.ways import found, overlaid
from isthmus.protocol.agent import PathReport
from isthmus.wireguard.state import InterfaceState


class Guide(Protocol):
    """Decides on the ways of packets. Its answers are what a config is at present."""

    def follow(self, desired: Desired, state: InterfaceState | None) -> Desired:
        """`state` is the interface before `desired` is applied to it, None without one."""
        ...

    def look(self, state: InterfaceState) -> Iterable[Desired]:
        """What the interface shall be now, one after the other; nothing where it stays as it is."""
        ...

    def reports(self) -> list[PathReport]: ...


class Found:
    """The guide of one who passes by: the ways stay as they are."""

    def follow(self, desired: Desired, state: InterfaceState | None) -> Desired:
        return overlaid(desired, found(desired, state, time.time()))

    def look(self, state: InterfaceState) -> Iterable[Desired]:
        return ()

    def reports(self) -> list[PathReport]:
        return []
