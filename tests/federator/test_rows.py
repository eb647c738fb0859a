"""Audit rows on their way: of the ingress's refusals, while the server is away, and where there are too many."""

import asyncio
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from isthmus.domain.federation.names import BackendDomain
from isthmus.federator import rows as module
from isthmus.federator.ports import Fact, Overloaded, ReportRefused, ServerUnavailable
from isthmus.federator.rows import QueuedRows
from isthmus.protocol.federator import Report, Row
from lab.waiting import wait_until
from tests.federator.stage import Stage

A = BackendDomain("a.example")


def a_refusal(**fields: Any) -> bytes:
    plain = {
        "request_id": str(uuid4()), "at": time.time(), "listener": "wan-1", "source": "192.0.2.9",
        "code": "client_certificate_required", "status": 401, "method": "POST", "path": "/federation/directory/x",
        "verify": "NONE", "host": "infra.b.example",
    }  # fmt: skip
    return b"<190>Nov 26 02:30:31 isthmus: " + json.dumps(plain | fields).encode()


def send(path: Path, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(path))
        for datagram in datagrams:
            sock.send(datagram)


def row_of(stage: Stage, request_id: str) -> Row:
    (row,) = wait_until(lambda: stage.rows(request_id), within=5, what="the row of a refusal")
    return row


def test_each_refusal_of_the_ingress_is_one_row(stage: Stage) -> None:
    ids = [str(uuid4()) for _ in range(20)]
    send(stage.places.refusals, *(a_refusal(request_id=each) for each in ids))
    for each in ids:
        row = row_of(stage, each)
        assert (row.actor, row.action, row.outcome) == ("anyone", "federation.call", "denied")
        assert (row.reason, row.subject) == ("client_certificate_required", "/federation/directory/x")
        assert row.facts["stage"] == "ingress"
        assert (row.facts["source"], row.facts["listener"]) == ("192.0.2.9", "wan-1")
    stage.settled()
    assert all(len(stage.rows(each)) == 1 for each in ids)


def test_what_no_ingress_has_sent_makes_no_row_and_stops_nothing(stage: Stage) -> None:
    before = stage.settled()
    bad = [b"", b"hello", b"{}", b"\x00\xff" * 100, a_refusal(code="made_up"), a_refusal(status=200), b"x" * 9000]
    send(stage.places.refusals, *bad)
    good = str(uuid4())
    send(stage.places.refusals, a_refusal(request_id=good, path="/x\x1b[31m\n" + "y" * 5000))
    row = row_of(stage, good)
    assert "\x1b" not in row.subject
    assert "\n" not in row.subject
    assert len(row.subject) <= 400
    assert len(stage.settled()) == len(before) + 1


def test_datagrams_of_another_user_are_dropped(own: Stage) -> None:
    own.start()
    for folder in (own.places.run, own.data, *own.data.parents):
        if str(folder).startswith("/tmp/"):  # noqa: S108  # pytest's own folder
            folder.chmod(0o711)
    own.places.refusals.chmod(0o666)
    program = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1]);"
        " s.send(sys.stdin.buffer.read())"
    )
    other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", program]
    forged = str(uuid4())
    command = [*other, str(own.places.refusals)]
    subprocess.run(command, input=a_refusal(request_id=forged), check=True, timeout=20)
    wait_until(lambda: "of another user" in own.federator.log, within=5, what="the complaint")
    own.settled()
    assert own.rows(forged) == []


def test_rows_come_quickly(stage: Stage) -> None:
    taken = []
    for _ in range(15):
        answer = stage.ask(stage.a, Isthmus_Api_Version="99")
        began = time.monotonic()
        stage.row(answer)
        taken.append(time.monotonic() - began)
    assert sorted(taken)[len(taken) // 2] < 0.2


def test_what_happened_while_the_server_was_away_is_told_once_it_is_back(own: Stage) -> None:
    own.start()
    own.around.server.takes_reports = False
    answers = [own.ask(own.c, Isthmus_Origin_Domain=name) for name in ("a.example", "d.example")]
    time.sleep(0.5)
    assert not own.around.server.rows
    own.around.server.takes_reports = True
    assert [own.row(answer).reason for answer in answers] == ["chain.other_remote", "not_listed"]


def test_what_is_not_told_when_it_ends_is_told_in_its_last_moment(own: Stage) -> None:
    own.start()
    answer = own.ask(own.a, Isthmus_Api_Version="99")
    own.federator.stop()
    assert len(own.rows(answer.request_id)) == 1


def test_a_call_that_is_admitted_and_changes_nothing_is_a_line_in_the_log_and_no_row(stage: Stage) -> None:
    before = stage.settled()
    answer = stage.ask(stage.a, Isthmus_Caller_Request_Id="theirs-9")
    assert answer.status == 200
    assert stage.settled() == before
    (line,) = [line for line in stage.federator.log.splitlines() if answer.request_id in line]
    told = json.loads(line)
    assert (told["remote"], told["status"], told["call"]) == ("a.example", 200, "directory/get-user-by-handle")
    assert (told["caller_request_id"], told["snapshot"]) == ("theirs-9", stage.generation)


@pytest.mark.parametrize("fields", [{"names": None}, {"uris": ()}, {"uris": ("https://a.example/",)}])
def test_a_remote_whose_own_authority_issues_nameless_leaves_is_told_of(stage: Stage, fields: dict[str, Any]) -> None:
    for issuer, told in ((stage.c.ca, False), (stage.a.ca, True)):
        stage.around.server.suspicions.clear()
        answer = stage.call(stage.headers(stage.a, stage.a.a_leaf(issuer, **fields)))
        assert answer.code == "federation_denied"
        reason = stage.row(answer).reason
        assert reason in {"profile.san_missing", "profile.uri_count", "profile.uri"}
        stage.settled()
        found = stage.suspicions("instance_without_san")
        assert [(each.domain, each.evidence["rule"]) for each in found] == ([("a.example", reason)] if told else [])


def test_admitted_instances_are_reported(stage: Stage) -> None:
    stage.around.server.sightings.clear()
    stage.ask(stage.a)
    wait_until(lambda: stage.around.server.sightings, within=5, what="the sighting")
    assert {(each.domain, each.instance) for each in stage.around.server.sightings} == {
        ("a.example", str(stage.a.instance))
    }


def test_trust_headers_that_the_ingress_dropped_are_told_of_the_remote_that_sent_them(stage: Stage) -> None:
    plain, marked = stage.ask(stage.a), stage.ask(stage.a, Isthmus_Ingress_Presented="X-Calling-Instance,Client-Cert")
    assert (plain.status, plain.body) == (marked.status, marked.body)
    assert stage.calls[-1].context.trusted_headers == "X-Calling-Instance,Client-Cert"
    (line,) = [line for line in stage.federator.log.splitlines() if marked.request_id in line]
    assert json.loads(line)["trust_headers"] == "X-Calling-Instance,Client-Cert"
    (found,) = wait_until(lambda: stage.suspicions("trust_header_presented"), within=5, what="the suspicion")
    assert found.domain == "a.example"
    assert found.evidence == {"headers": "X-Calling-Instance,Client-Cert", "request_id": marked.request_id}
    refused = stage.ask(stage.a, Isthmus_Ingress_Presented="Client-Cert", Isthmus_Api_Version="99")
    assert stage.row(refused).facts["trust_headers"] == "Client-Cert"
    # Whatever the component says to the call.
    stage.around.server.suspicions.clear()
    stage.around.components["directory"].status = 404
    stage.ask(stage.a, Isthmus_Ingress_Presented="Client-Cert")
    stage.around.components["directory"].status = 200
    wait_until(lambda: stage.suspicions("trust_header_presented"), within=5, what="the suspicion")
    # Of a name that is only claimed nothing is told.
    stage.around.server.suspicions.clear()
    stage.call(stage.headers(stage.a, stage.c.leaf, Isthmus_Ingress_Presented="Client-Cert"))
    stage.settled()
    assert stage.suspicions("trust_header_presented") == []


# The queue by itself.


class Clock:
    def now(self) -> float:
        return 1_000_000.0

    @property
    def jump(self) -> float:
        return 0.0


class Sink:
    """Takes reports, or says that it does not."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.away = False
        self.dislikes = ""

    async def __call__(self, report: Report) -> None:
        if self.away:
            raise ServerUnavailable("away")
        if any(row.reason == self.dislikes for row in report.rows):
            raise ReportRefused("422")
        self.rows |= {row.id: row for row in report.rows}


def a_fact(reason: str = "x", proven: BackendDomain | None = A) -> Fact:
    actor = "remote:a.example/x" if proven else "anyone"
    return Fact("federation.call", actor, "s", "denied", str(uuid4()), reason, {}, proven)


async def test_of_proven_remotes_no_row_is_left_out_and_a_full_queue_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    sink = Sink()
    sink.away = True
    queue = QueuedRows(sink, Clock())
    working = asyncio.create_task(queue.work())
    for _ in range(50):
        assert queue.has_room
        queue.tell(a_fact())
    assert not queue.has_room
    with pytest.raises(Overloaded):
        queue.tell(a_fact())
    # A stranger is counted even then.
    queue.tell(a_fact("stranger", None))
    sink.away = False
    await queue.finish()
    working.cancel()
    queue.tell(a_fact())
    # The one that was refused is counted, and so is the stranger.
    assert sum(row.left_out or 1 for row in sink.rows.values()) == 52


async def test_strangers_are_sampled_and_counted_exactly() -> None:
    sink = Sink()
    queue = QueuedRows(sink, Clock())
    for number in range(3_000):
        queue.tell(a_fact(f"reason-{number % 3}", None))
    await queue.finish()
    assert len(sink.rows) < 300
    counts = {f"reason-{number}": 0 for number in range(3)}
    for row in sink.rows.values():
        counts[row.reason] += row.left_out or 1
    assert counts == {"reason-0": 1_000, "reason-1": 1_000, "reason-2": 1_000}


async def test_one_row_that_the_server_does_not_take_keeps_none_from_it() -> None:
    sink = Sink()
    sink.dislikes = "bad"
    queue = QueuedRows(sink, Clock())
    for reason in ("one", "bad", "two"):
        queue.tell(a_fact(reason))
    await queue.finish()
    assert {row.reason for row in sink.rows.values()} == {"one", "two"}
