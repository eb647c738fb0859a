"""How often passwords are tried, and from where. Guessing is slow, and locks out nobody who was here before."""

from collections import OrderedDict
from datetime import datetime, timedelta
from ipaddress import ip_address

from isthmus.domain.errors import RateLimited
from isthmus.server.application.throttle import MOST_KEYS, Throttle

WINDOW = timedelta(minutes=5)
PER_NAME_AND_PLACE = 10
PER_PLACE = 50
PER_NAME = 100
HOME_BITS = 64
"""Who has one IPv6 address has a whole network of them."""


class Attempts:
    """Where a name has signed in before, nobody else's guesses count against it: neither those at that name from
    elsewhere, nor those at other names from there."""

    def __init__(self) -> None:
        self._own = Throttle(PER_NAME_AND_PLACE, WINDOW)
        self._of_name = Throttle(PER_NAME, WINDOW)
        self._of_place = Throttle(PER_PLACE, WINDOW)
        self._known: OrderedDict[str, None] = OrderedDict()

    def begin(self, name: str, source: str | None, now: datetime) -> None:
        """Count one attempt, before it is known how it ends: parallel guesses must not slip through meanwhile.

        Raises `RateLimited`; then nothing was counted.
        """
        place, own = _place(source), _key(name, source)
        wait = self._own.wait(own, now)
        if own not in self._known:
            wait = max(wait, self._of_name.wait(name, now), self._of_place.wait(place, now))
        if wait:
            raise RateLimited(wait)
        self._own.failed(own, now)
        self._of_name.failed(name, now)
        self._of_place.failed(place, now)

    def succeeded(self, name: str, source: str | None) -> None:
        own = _key(name, source)
        self._own.forget(own)
        self._of_name.take_back(name)
        self._of_place.take_back(_place(source))
        self._known[own] = None
        self._known.move_to_end(own)
        if len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)


def _key(name: str, source: str | None) -> str:
    return f"{_place(source)} {name}"


def _place(source: str | None) -> str:
    """An IPv4 address, the network of an IPv6 one, or this machine's own socket."""
    try:
        address = ip_address(source or "")
    except ValueError:
        return "here"
    return str(address) if address.version == 4 else str(int(address) >> (128 - HOME_BITS))
