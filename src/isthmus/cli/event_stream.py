"""The server's event stream as an iterator. Apart from the command, whose help does without the WebSocket library."""

import json
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect, unix_connect

from isthmus.cli.client import PREFIX, probe, unreachable
from isthmus.cli.errors import Failure, Refused, Unreachable
from isthmus.cli.targets import Target

OPEN_SECONDS = 10
MAX_MESSAGE = 16 * 1024 * 1024
ACCESS_ENDED = 4401


@dataclass(frozen=True, slots=True)
class Message:
    """`text` as the server sent it, `body` decoded."""

    text: str
    body: dict[str, Any]


def messages(target: Target, network: str | None) -> Iterator[Message]:
    """All that the server says until it closes. Raises `Refused`, and `Unreachable` at the end of a stream."""
    query = f"?network={network}" if network else ""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(_opening(target, f"{PREFIX}/events{query}"))
        except InvalidStatus as error:
            raise _refused(target, error) from None
        except (OSError, InvalidHandshake, WebSocketException) as error:
            raise unreachable(target, error) from None
        while True:
            try:
                text = str(stream.recv())
            except ConnectionClosed as error:
                raise _ended(target, error) from None
            yield Message(text, json.loads(text))


def _opening(target: Target, path: str) -> AbstractContextManager[ClientConnection]:
    options: dict[str, Any] = {
        "additional_headers": {"Authorization": f"Bearer {target.token}"} if target.token else {},
        "open_timeout": OPEN_SECONDS,
        "max_size": MAX_MESSAGE,
        "compression": None,
    }
    if target.socket:
        probe(target)
        on_socket: AbstractContextManager[ClientConnection] = unix_connect(
            str(target.socket), f"ws://isthmus{path}", **options
        )
        return on_socket
    tls = ssl.create_default_context() if target.url.startswith("https:") else None
    url = f"ws{target.url.removeprefix('http')}{path}"
    opening: AbstractContextManager[ClientConnection] = connect(url, ssl=tls, **options)
    return opening


def _refused(target: Target, error: InvalidStatus) -> Failure:
    try:
        problem = json.loads(error.response.body or b"")
    except ValueError:
        problem = None
    if isinstance(problem, dict):
        return Refused(problem)
    hint = "name the URL of the server itself, without a path"
    return Unreachable(f"what answers at {target} is no Isthmus server ({error.response.status_code})", hint)


def _ended(target: Target, error: ConnectionClosed) -> Failure:
    if error.rcvd is not None and error.rcvd.code == ACCESS_ENDED:
        return Refused({"title": "the access has ended", "detail": error.rcvd.reason, "hint": "sign in: isthmus login"})
    reason = str(error.rcvd.reason) if error.rcvd is not None else ""
    return Unreachable(f"{target} has ended the stream: {reason or 'the connection broke'}", "run the command again")
