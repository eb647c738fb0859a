"""Seed 1 as a whole: one request through all hops, each of which takes it from its own neighbour alone."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isthmus.protocol.federation import REQUEST_ID
from lab.organisation import DATA
from lab.recording import REAL, Recorder, Seen
from lab.waiting import wait_until
from tests.federation.checks import clean_request, no_component_call, no_state_change, one_audit_row, refused, refusing
from tests.federation.federation import Federation
from tests.federation.party import Party, over_socket
from tests.federation.planting import weak_federator
from tests.federation.wire import request

WITHIN = 10.0
NOBODY = 65534
# Sends what comes on its standard input to a unix socket, and prints the answer or why there was none.
ASKING = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(10)
try:
    sock.connect(sys.argv[1])
except PermissionError:
    sys.exit("permission denied")
sock.sendall(sys.stdin.buffer.read())
print(sock.makefile("rb").read().decode("latin-1"))
"""


def lines_of(party: Party, process: str, text: str) -> list[dict[str, Any]]:
    """The lines of one process with this text in them, once there is one."""

    def found() -> list[str]:
        lines = [line for line in party.site.log_of(process) if text in line]
        # The question for versions goes before.
        return [line for line in lines if "directory/" in line]

    wait_until(found, within=WITHIN, what=f"a line of the {process} of {party}")
    return [json.loads(line) for line in found()]


@pytest.mark.case("SEED-046")
def test_the_user_sees_the_profile_and_one_request_id_is_in_every_log_on_the_way(federation: Federation) -> None:
    """The component of A is in its server, that of B in that of B; A's own ingress is not on the way of its calls."""
    a, b = federation.a, federation.b
    found = a.lookup(f"alice@{b.domain}")
    assert found.status_code == 200
    profile = found.json()
    assert (profile["handle"], profile["domain"], profile["display_name"]) == ("alice", b.domain, "Alice of B")
    request_id = found.headers[REQUEST_ID]
    for party, process in ((a, "server"), (a, "federator")):
        assert {line["request_id"] for line in lines_of(party, process, request_id)} == {request_id}
    theirs = set()
    for process in ("ingress", "federator", "server"):
        lines = lines_of(b, process, request_id)
        assert {line["caller_request_id"] for line in lines} == {request_id}, process
        theirs |= {line["request_id"] for line in lines}
    assert len(theirs) == 1, "one call has one id of B's own"
    (line,) = lines_of(b, "ingress", request_id)
    assert (line["event"], line["listener"], line["status"]) == ("call", "wan", 200)
    assert 0 <= line["seconds"] < WITHIN
    assert "Alice" not in json.dumps(line)


def denied_to(party: Party, after: int) -> list[dict[str, Any]]:
    """The rows of what others were denied, but for heartbeats."""
    rows = [row for row in party.audit(after) if (row["action"], row["outcome"]) == ("federation.call", "denied")]
    return [row for row in rows if not row["subject"].endswith("heartbeat/beat")]


@pytest.mark.case("SEED-047")
def test_request_and_answer_both_need_the_mutual_channel(federation: Federation) -> None:
    a, b = federation.a, federation.b
    assert a.calls(b.domain).status == 200
    with weak_federator(a, "no-client-certificate"):
        before, theirs, seen = a.last_row(), b.last_row(), b.federator_calls()
        with no_state_change(a), no_state_change(b), no_component_call(b):
            answer = refused(a.calls(b.domain), 502, "remote_rejected_us")
            # What is asked first is which versions B speaks, and it is that question which does not get through.
            wait_until(lambda: denied_to(b, theirs), within=WITHIN, what="the row of the ingress")
        rows = [row for row in a.denials(before) if row["subject"].startswith(f"{b.domain}/directory/")]
        assert [row["reason"] for row in rows] == ["remote.client_certificate_required"]
        assert [row["reason"] for row in denied_to(b, theirs)] == ["client_certificate_required"]
        assert b.federator_calls() == seen
    assert answer.json["remote"]["status"] == 401
    assert answer.json["remote"]["code"] == "client_certificate_required"
    assert b"Alice" not in answer.body
    assert a.calls(b.domain).status == 200


@contextmanager
def open_to_all(*paths: Path) -> Iterator[None]:
    """As if somebody had been careless with permissions."""
    before = {path: path.stat().st_mode & 0o7777 for path in paths}
    for path in paths:
        path.chmod(0o777)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def as_nobody(party: Party, box: Recorder, data: bytes) -> str:
    """Another user of the host sends `data` to the socket behind a box; the answer, or what the system said."""
    inside = f"{DATA}/run/{box.path.name}{REAL}"
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command = [*user, "/usr/bin/python3", "-c", ASKING, inside]
    done = party.site.host.run(command, input=data.decode("latin-1"), check=False)
    return done.stdout + done.stderr


def again(seen: Seen) -> bytes:
    """The bytes of a request that has passed."""
    headers = [(name, value) for name, value in seen.headers if name.lower() != "content-length"]
    return request(seen.method, seen.path, headers=[*headers, ("Connection", "close")], body=seen.body)


def perfect(a: Party, b: Party, box: Recorder) -> Seen:
    """A request of the real neighbour, which is answered."""
    with box.watching() as passed:
        clean_request(a, b)
    (seen,) = passed
    return seen


def above(path: Path, party: Party) -> Sequence[Path]:
    """The folders that lead to a socket, up to that of all data."""
    top = party.site.host.path(DATA)
    return [folder for folder in path.parents if folder == top or top in folder.parents]


@pytest.mark.case("SEED-048", "SEED-124")
def test_each_hop_takes_a_request_from_its_own_neighbour_alone(a: Party, b: Party) -> None:
    assert os.geteuid() == 0
    for box in (b.inward, b.component()):
        seen = perfect(a, b, box)
        with no_state_change(b), no_component_call(b):
            assert "permission denied" in as_nobody(b, box, again(seen))
        behind = box.path.with_name(box.path.name + REAL)
        reason = "socket_user" if box is b.inward else "context.used"
        with open_to_all(behind, *above(behind, b)), no_state_change(b), no_component_call(b), one_audit_row(b, reason):
            answer = as_nobody(b, box, again(seen))
        status, code = (403, "ingress_untrusted") if box is b.inward else (401, "context_invalid")
        assert answer.startswith(f"HTTP/1.1 {status}"), answer
        assert f'"code":"{code}"' in answer
        clean_request(a, b)

    # The right user, who does not know the secret of a listener.
    whole = perfect(a, b, b.inward)
    without = [
        (name, value)
        for name, value in whole.headers
        if name.lower() not in ("isthmus-ingress-secret", "content-length")
    ]
    with refusing(b, "listener_secret"):
        data = request(whole.method, whole.path, headers=without, body=whole.body)
        refused(over_socket(b.inward.path, data), 403, "ingress_untrusted")
    clean_request(a, b)
