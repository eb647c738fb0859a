"""An answer of a remote has one meaning or none, however its bytes come."""

from collections.abc import Sequence

import h11
import pytest

from isthmus.federator.adapters.http1 import MOST_HEAD, Http
from isthmus.federator.adapters.wire import Wire
from isthmus.federator.calling import CallFailed, Reply
from isthmus.protocol.federation import MOST_RESPONSE

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Scripted(Wire):
    """A wire whose other end says these pieces, and then nothing more."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.written = b""
        self.closed = False

    @property
    def is_usable(self) -> bool:
        return not self.closed

    def write(self, data: bytes) -> None:
        self.written += data

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


async def ask(*pieces: bytes) -> tuple[Reply, bool]:
    """The answer, and whether the connection serves another request."""
    http = Http(Scripted(pieces), "infra.b.example")
    reply = await http.exchange("/federation/directory/get-instance", {"X-Request-Id": "1"}, b"{}")
    return reply, http.is_usable


GOOD = {
    "a length": (OK + JSON + LENGTH + b"\r\n{}", True),
    "the same length twice": (OK + LENGTH + LENGTH + b"\r\n{}", True),
    "chunks": (OK + CHUNKED + b"\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: a\r\n\r\n", True),
    "after a hint": (b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK + LENGTH + b"\r\n{}", True),
    "an end that is told": (OK + LENGTH + b"Connection: keep-alive\r\nConnection: close\r\n\r\n{}", False),
    "the version before": (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n{}", False),
    "more than was asked for": (OK + LENGTH + b"\r\n{}" + OK, False),
    "no reason": (b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n{}", True),
}


@pytest.mark.parametrize("which", GOOD)
async def test_an_answer_is_read_alike_in_one_piece_and_byte_by_byte(which: str) -> None:
    said, stays = GOOD[which]
    for pieces in ([said], [said[at : at + 1] for at in range(len(said))]):
        reply, goes_on = await ask(*pieces)
        assert (reply.status, reply.body) == (200, b"{}")
        # What comes later than the answer is the wire's to notice.
        assert goes_on == stays or which == "more than was asked for"


BAD = {
    "nothing": b"",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\n{}",
    "a header without a name": OK + b": a\r\n" + LENGTH + b"\r\n{}",
    "a null byte": OK + b"A: \x00\r\n" + LENGTH + b"\r\n{}",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n" + LENGTH + b"\r\n{}",
    "two lengths": OK + LENGTH + b"Content-Length: 3\r\n\r\n{} ",
    "a signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "no length": OK + JSON + b"\r\n{}",
    "length and chunks": OK + LENGTH + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks twice": OK + CHUNKED + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk without a size": OK + CHUNKED + b"\r\n\r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative size": OK + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than it says": OK + CHUNKED + b"\r\n1\r\n{}\r\n0\r\n\r\n",
    "hints without end": b"HTTP/1.1 103 Early\r\n\r\n" * 5 + OK + LENGTH + b"\r\n{}",
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + OK + LENGTH + b"\r\n{}",
    "a head without end": OK + b"A: b\r\n" * MOST_HEAD,
    "trailers without end": OK + CHUNKED + b"\r\n0\r\n" + b"A: b\r\n" * MOST_HEAD,
    "a cut body": OK + LENGTH + b"\r\n{",
}


@pytest.mark.parametrize("which", BAD)
async def test_what_has_no_one_meaning_is_no_answer(which: str) -> None:
    said = BAD[which]
    for pieces in ([said], [said[at : at + 7] for at in range(0, len(said), 7)]):
        wire = Scripted(pieces)
        with pytest.raises(CallFailed) as caught:
            await Http(wire, "infra.b.example").exchange("/federation/directory/get-instance", {}, b"{}")
        assert (caught.value.code, caught.value.heard) == ("remote_protocol_error", bool(said))
        assert wire.closed


async def test_an_answer_is_bounded_before_it_is_whole() -> None:
    size = MOST_RESPONSE + 1
    for said in (b"Content-Length: %d\r\n\r\n" % size, CHUNKED + b"\r\n%x\r\n%s" % (size, b" " * size)):
        with pytest.raises(CallFailed) as caught:
            await ask(OK + said)
        assert caught.value.code == "remote_response_too_large"


async def test_a_body_where_none_may_be_is_no_part_of_the_next_answer() -> None:
    reply, goes_on = await ask(b"HTTP/1.1 204 No Content\r\n" + LENGTH + b"\r\n{}")
    assert (reply.status, reply.body, goes_on) == (204, b"", False)


async def test_nothing_that_ends_a_line_gets_into_a_request() -> None:
    wire = Scripted([])
    for headers, path in (
        ({"Authorization": "a\r\nX: b"}, "/federation/a/b"),
        ({}, "/federation/a/b HTTP/1.1\r\nX: c"),
    ):
        with pytest.raises(h11.LocalProtocolError, match=r"(?i)illegal"):
            await Http(wire, "infra.b.example").exchange(path, headers, b"{}")
    assert wire.written == b""
