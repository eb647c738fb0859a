"""The boxes on unix sockets: they pass on every byte, and read requests out of whatever pieces come."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.recording import Parser, Recorder

ONE = b"POST /a HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: 3\r\n\r\nabc"
TWO = b"GET /b HTTP/1.1\r\nHost: y\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_requests_are_read_out_of_pieces_of_any_size(size: int) -> None:
    data = ONE + CHUNKED + TWO
    parser = Parser(1)
    seen = [each for start in range(0, len(data), size) for each in parser.feed(data[start : start + size])]
    assert [(each.method, each.path, each.body) for each in seen] == [
        ("POST", "/a", b"abc"),
        ("POST", "/c", b"abcde"),
        ("GET", "/b", b""),
    ]
    assert seen[0].all("X-TWICE") == ["1", "2"]
    assert seen[2].header("host") == "y"
    assert seen[2].header("nothing") is None


@contextlib.contextmanager
def echoing(path: Path) -> Iterator[None]:
    """Somebody who listens at `path` and gives one answer to each connection's first bytes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                with near:
                    near.recv(65_536)
                    near.sendall(ANSWER)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def test_what_passes_is_unchanged_and_written_down(tmp_path: Path) -> None:
    path = tmp_path / "some.sock"
    recorder = Recorder("some", path)
    with echoing(path):
        recorder.place()
        with recorder.watching() as seen:
            assert ask(path, ONE) == ANSWER
            assert ask(path, TWO) == ANSWER
        assert [(each.path, each.connection) for each in seen] == [("/a", 1), ("/b", 2)]
        assert recorder.answers == {1: ANSWER, 2: ANSWER}
        recorder.remove()
        assert ask(path, ONE) == ANSWER
        assert recorder.count() == 2


def test_it_gets_in_the_way_again_after_its_owner_made_a_new_socket(tmp_path: Path) -> None:
    path = tmp_path / "some.sock"
    recorder = Recorder("some", path)
    with echoing(path):
        recorder.place()
    path.unlink()
    with echoing(path):
        recorder.place()
        assert ask(path, ONE) == ANSWER
        assert recorder.count() == 1
        recorder.remove()
