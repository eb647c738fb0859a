"""Where the facts come from: the server's control socket, over HTTP on a unix socket."""

import http.client
import socket
from pathlib import Path

import msgspec

from isthmus.ingress.facts import LARGEST_FILE, decode
from isthmus.ingress.refused import FactsUnavailable
from isthmus.protocol.federator import Report, Suspicion
from isthmus.protocol.ingress import IngressFacts

LEEWAY = 5.0
REPORT_SECONDS = 5.0
"""Seconds beyond the wait that was asked for."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket. `timeout` bounds every single read."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("isthmus", timeout=timeout)
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._seconds)
        self.sock.connect(str(self._path))


def fetch(control: Path, after: int, wait: float) -> IngressFacts | None:
    """The facts as soon as their generation is later than `after`; None if `wait` seconds brought none.

    Blocks. Raises `FactsUnavailable` while the server does not answer, `FactsRefused` on facts that are broken.
    """
    connection = UnixConnection(control, wait + LEEWAY)
    try:
        connection.request("GET", f"/ingress?after={after}&wait={wait:g}")
        answer = connection.getresponse()
        raw = answer.read(LARGEST_FILE)
    except (OSError, http.client.HTTPException) as error:
        raise FactsUnavailable(
            f"the server's control socket {control} does not answer ({error})",
            "start the server: isthmus server; or give the facts in a file: --facts FILE",
        ) from None
    finally:
        connection.close()
    if answer.status == http.client.NO_CONTENT:
        return None
    if answer.status != http.client.OK:
        raise FactsUnavailable(f"the server answered {answer.status} at its control socket {control}", "see its log")
    return decode(raw, str(control))


def report(control: Path, suspicion: Suspicion) -> None:
    """Make it a finding that operators see. Blocks. Raises `FactsUnavailable` while the server does not take it."""
    connection = UnixConnection(control, REPORT_SECONDS)
    try:
        body = msgspec.json.encode(Report(suspicions=[suspicion]))
        connection.request("POST", "/report", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise FactsUnavailable(f"the server's control socket {control} does not answer ({error})") from None
    finally:
        connection.close()
    if status >= http.client.BAD_REQUEST:
        raise FactsUnavailable(f"the server answered {status} to a report of the ingress")
