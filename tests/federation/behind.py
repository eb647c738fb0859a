"""The Federator behind its ingress, reached directly and in the ingress's own name: what it refuses by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from isthmus.protocol import ingress
from tests.federation.party import CALL, Party, over_socket
from tests.federation.wire import Answer, request

CLEAN = b'{"handle":"alice"}'


@dataclass(frozen=True)
class Behind:
    """`headers` are those that the ingress sends with a clean request."""

    party: Party
    headers: tuple[tuple[str, str], ...]

    def request(
        self, line: str = CALL, *, more: Sequence[tuple[str, str]] = (), body: bytes = CLEAN, length: bool = True
    ) -> bytes:
        """A clean request as the ingress would write it, or one that differs in what is given; each has an id of its
        own."""
        method, _, path = line.partition(" ")
        own = [(ingress.INGRESS_REQUEST_ID, str(uuid4()))]
        return request(method, path, headers=[*self.headers, *own, *more], body=body, length=length)

    def asks(self, data: bytes | None = None) -> Answer:
        """What the Federator answers to these bytes, or to a clean request."""
        return over_socket(self.party.inward.real, self.request() if data is None else data)


def behind(caller: Party, party: Party) -> Behind:
    """With what the ingress of `party` says of a clean request of `caller`."""
    with party.inward.watching() as passed:
        assert caller.asks(party).status == 200
    seen = next(each for each in passed if each.path.endswith("/get-user-by-handle"))
    left_out = {ingress.INGRESS_REQUEST_ID.lower(), "content-length"}
    return Behind(party, tuple(pair for pair in seen.headers if pair[0].lower() not in left_out))
