"""What the ingress refused, as it tells it in datagrams: an audit row for each."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

import structlog

from isthmus.federator.adapters.listening import CREDENTIALS
from isthmus.federator.grammar import escaped
from isthmus.federator.ports import Fact, Rows
from isthmus.ingress.refusals import LARGEST, Unreadable, read_refusal
from isthmus.protocol.ingress import Refusal
from isthmus.protocol.problem import Stage

log = structlog.get_logger()

ACTION = "federation.call"
# What waits beyond that lets others have their turn first.
MOST_AT_ONCE = 64
RECEIVE_BYTES = 1024 * 1024


@contextlib.contextmanager
def listening(sock: socket.socket, user: int, rows: Rows) -> Iterator[None]:
    """Read `sock` while the body runs. Datagrams of others than `user` and ourselves are dropped."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    users = {user, os.geteuid()}
    loop = asyncio.get_running_loop()
    loop.add_reader(sock.fileno(), _read, sock, users, rows)
    try:
        yield
    finally:
        loop.remove_reader(sock.fileno())


def _read(sock: socket.socket, users: set[int], rows: Rows) -> None:
    for _ in range(MOST_AT_ONCE):
        try:
            data, ancillary, _, _ = sock.recvmsg(LARGEST + 1, socket.CMSG_SPACE(CREDENTIALS.size))
        except (BlockingIOError, InterruptedError):
            return
        sender = _sender(ancillary)
        if sender not in users:
            log.warning("a datagram on the socket for refusals is of another user", user=sender)
            continue
        try:
            fact = fact_of(read_refusal(data))
        except Unreadable as error:
            log.warning("a datagram on the socket for refusals cannot be read", error=str(error))
            continue
        # Strangers must not fill the disk: what is only counted has no line either.
        if rows.tell(fact):
            log.info("refused by the ingress", request_id=fact.request_id, call=fact.subject, **fact.facts)


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int(CREDENTIALS.unpack(data[: CREDENTIALS.size])[1])
    return -1


def fact_of(refusal: Refusal) -> Fact:
    """The audit row of a refusal. Nothing is proven of who called."""
    shown = {
        "stage": Stage.INGRESS.value,
        "code": refusal.code,
        "status": refusal.status,
        "source": escaped(refusal.source),
        "listener": escaped(refusal.listener),
        "method": escaped(refusal.method),
        "verify": escaped(refusal.verify),
        "host": escaped(refusal.host),
    }
    facts = {name: value for name, value in shown.items() if value}
    subject = escaped(refusal.path)
    return Fact(ACTION, "anyone", subject, "denied", escaped(refusal.request_id), refusal.code, facts)
