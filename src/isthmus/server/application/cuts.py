"""What is refused before anybody has been asked who they are: counted, and told to the audit log once a second."""

from collections import Counter

from isthmus.server.application.caller import Caller
from isthmus.server.application.denials import DenialService
from isthmus.server.ports import StoreUnavailable

ACTION = "connect"


class CutService:
    """One row for each listener and reason, however many it stands for: strangers must not fill the disk."""

    def __init__(self, denials: DenialService) -> None:
        self._denials = denials
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._first: dict[tuple[str, str, str], Caller] = {}

    def note(self, caller: Caller, listener: str, code: str, many: int = 1) -> None:
        key = (caller.actor, listener, code)
        self._counts[key] += many
        self._first.setdefault(key, caller)

    async def work(self) -> None:
        """Write the rows that are due; source and request are those of the first that each stands for."""
        for key in list(self._counts):
            _, listener, code = key
            many, first = self._counts.pop(key), self._first.pop(key)
            try:
                await self._denials.record(first, ACTION, listener, code, left_out=many)
            except StoreUnavailable:
                self.note(first, listener, code, many)
                raise
