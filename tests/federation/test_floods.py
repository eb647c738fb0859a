"""Whoever has proven nothing fills neither the disk nor the memory of a backend, however much comes.

The catalogue's hundred thousand requests are scaled down to what a test has time for, 1 to 50; of its idle sockets and
bodies docs/decisions/0087 tells.
"""

import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.sync.client import connect

from isthmus.protocol.federation import COMPONENTS, ORIGIN
from isthmus.server.adapters.http.access import ACCESS
from isthmus.server.application.tally import NO_ROUTE, UNPROVEN
from lab.organisation import PORT, children
from lab.waiting import wait_until
from tests.api.agent import enroll_body, heartbeat
from tests.federation.checks import clean_request, no_component_call, no_state_change, until_quiet
from tests.federation.federation import AGENT_PORT, Federation
from tests.federation.party import OF_OURS, Party, Row
from tests.federation.wire import Connection, NoAnswer, request
from tests.metrics import Metrics, fresh_metrics_of
from tests.server import API

REQUESTS = 2_000
CLIENTS = 4
STRANGERS, IDLE, AT_ONCE = 200, 1_000, 16
PATIENT = 10  # of them send all that is taken
OF_THE_REMOTE = 50
WITHIN = 30.0
SAMPLE_SECONDS = 3.0
# What the log may hold of strangers: a burst, then so many a second. A row has less than a KiB, a line less than two.
BURST, A_SECOND = 200, 10.0
KIB, MIB = 1024, 1024 * 1024
HUGE = 100 * MIB
CEILING = 48 * MIB
CUT_SECONDS = 15.0
ENDLESS = b"X-Endless: " + b"x" * 4_000 + b"\r\n"


def flood(party: Party, other: Party, make: Callable[[int], bytes], *, credential: bool) -> None:
    """`REQUESTS` of them over a few connections, one after the other on each."""

    def work(part: range) -> None:
        shown = OF_OURS if credential else None
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(party.connect(other, shown))
            for number in part:
                try:
                    answer = connection.ask(make(number))
                except NoAnswer:
                    connection = stack.enter_context(party.connect(other, shown))
                    answer = connection.ask(make(number))
                assert answer.status in (401, 403), answer
                if answer.header("Connection") == "close":
                    connection = stack.enter_context(party.connect(other, shown))

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work, range(start, REQUESTS, CLIENTS)) for start in range(CLIENTS)]:
            done.result()


def counted(rows: list[Row], reason: str) -> tuple[int, int]:
    """Of denials of strangers: how many rows there are, and how many denials they stand for."""
    of_strangers = [row for row in rows if row["reason"] == reason and row["actor"] == "anyone"]
    return len(of_strangers), sum(row["facts"].get("left_out", 1) for row in of_strangers)


def size_of_log(party: Party) -> int:
    return party.site.up.log.stat().st_size


@pytest.mark.case("DOS-003")
def test_strangers_cannot_grow_the_log_without_bound(federation: Federation) -> None:
    a, b, c = federation.parties
    # One of each kind, so that its series is there.
    assert a.asks(b, made_up_by(a, b, REQUESTS)).status == 403
    assert c.asks(b, c.request(b, "POST /federation/directory/no-such")).status == 404
    wait_until(lambda: counted(b.denials(0), "not_listed")[1] >= 1, within=WITHIN, what="the first row")
    metrics, disk = fresh_metrics_of(b.api), size_of_database(b)
    before, log, began = b.last_row(), size_of_log(b), time.monotonic()

    def proven() -> None:
        for number in range(OF_THE_REMOTE):
            assert c.asks(b, c.request(b, f"POST /federation/directory/no-such-{number}")).status == 404

    with no_state_change(b), no_component_call(b), ThreadPoolExecutor(1) as pool:
        beside = pool.submit(proven)
        flood(a, b, lambda number: made_up_by(a, b, number), credential=True)
        beside.result()
        wait_until(lambda: counted(b.denials(before), "not_listed")[1] >= REQUESTS, within=WITHIN, what="the counters")
    took = time.monotonic() - began
    rows, denials = counted(b.denials(before), "not_listed")
    assert denials == REQUESTS
    # One more a second is the row of what was left out.
    assert rows <= BURST + (A_SECOND + 1) * (took + 1)
    assert size_of_log(b) - log < (rows + 2 * OF_THE_REMOTE) * 2 * KIB + 64 * KIB
    # The twin: of a remote that is known every single one has its row, by name.
    named = [row for row in b.denials(before) if row["actor"].startswith(f"remote:{c.domain}/")]
    assert len(named) == OF_THE_REMOTE
    assert len({row["subject"] for row in named}) == OF_THE_REMOTE
    check_series(metrics, fresh_metrics_of(b.api), b, c)
    assert size_of_database(b) - disk < (rows + 2 * OF_THE_REMOTE) * 2 * KIB + 256 * KIB
    clean_request(a, b)


def made_up_by(party: Party, other: Party, number: int) -> bytes:
    """A request with an origin, a path and a browser of its own."""
    line = f"POST /federation/made-up-{number}/call-{number}"
    return party.request(other, line, changed={ORIGIN: f"x{number}.example", "User-Agent": f"agent-{number}"})


def size_of_database(party: Party) -> int:
    return int(party.rows("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")[0][0])


def check_series(before: Metrics, after: Metrics, of: Party, known: Party) -> None:
    """The flood made no series and is counted exactly; the remote that is known is counted by its name."""

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    remotes = {each["domain"] for each in of.api.get("/remotes").raise_for_status().json()["items"]}
    labels = [dict(pairs) for _, pairs in after.samples]
    assert {each["remote"] for each in labels if "remote" in each} <= remotes | {UNPROVEN}
    assert {each["route"] for each in labels if "route" in each} <= {path for _, path in ACCESS} | {NO_ROUTE}
    assert {each["component"] for each in labels if "component" in each} <= COMPONENTS
    unproven = [{series for series in seen.samples if ("remote", UNPROVEN) in series[1]} for seen in (before, after)]
    assert unproven[0] == unproven[1]
    assert "made-up" not in after.text
    assert "agent-1" not in after.text
    assert grown("isthmus_federation_denials_total", remote=UNPROVEN, reason="not_listed") == REQUESTS
    of_known = {"remote": known.domain, "reason": "route.unknown"}
    assert grown("isthmus_federation_denials_total", **of_known) == OF_THE_REMOTE


def test_refusals_by_the_ingress_are_sampled(federation: Federation) -> None:
    """And counted, as far as the kernel lets nginx tell of them: a full queue of datagrams (`net.unix.max_dgram_qlen`)
    drops what comes too fast."""
    a, b, _ = federation.parties
    before, log, began = b.last_row(), size_of_log(b), time.monotonic()
    seen, reason = b.federator_calls(), "client_certificate_required"
    with no_state_change(b):
        flood(a, b, lambda number: a.request(b, f"POST /federation/x/y-{number}"), credential=False)
        time.sleep(SAMPLE_SECONDS)
    rows, denials = counted(b.denials(before), reason)
    assert rows <= BURST + (A_SECOND + 1) * (time.monotonic() - began + 1)
    assert rows < denials <= REQUESTS
    assert size_of_log(b) - log < rows * 2 * KIB + 256 * KIB
    assert b.federator_calls() == seen
    clean_request(a, b)


def memory_of(party: Party) -> int:
    """Resident bytes of its server, its Federator, its nginx and its workers."""
    master = party.site.nginx()
    pids = {party.site.pid("server"), party.site.pid("federator"), master, *children(master)} - {None}
    return sum(_resident(Path(f"/proc/{pid}/status")) for pid in pids)


def _resident(status: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmRSS"].split()[0]) * KIB
    return 0


@contextlib.contextmanager
def agent_at(party: Party) -> Iterator[None]:
    """An agent of `party` that is connected before and after the block, over the same stream."""
    network = party.api.post("/networks", json={"name": "flooded"}).raise_for_status().json()
    created = party.api.post(f"/networks/{network['id']}/peers", json={"name": "beside"}).raise_for_status().json()
    enrolled = party.api.post("/agent/enroll", json=enroll_body(created["enrollment"]["token"])).raise_for_status()
    raw = party.site.host.connect("127.0.0.1", AGENT_PORT)
    session = {"Authorization": f"Bearer {enrolled.json()['session_token']}"}
    with connect(f"ws://agents{API}/agent/stream", sock=raw, additional_headers=session) as stream:
        beat = json.loads(stream.recv(timeout=WITHIN))["nonce"]
        until_quiet(party)
        yield
        stream.send(json.dumps(heartbeat(beat) | {"type": "heartbeat"}))
        while json.loads(stream.recv(timeout=WITHIN))["type"] != "ack":
            pass
    party.api.delete(f"/peers/{created['peer']['id']}").raise_for_status()
    party.api.delete(f"/networks/{network['id']}").raise_for_status()


def greed(party: Party, other: Party, most: int) -> list[str]:
    """What one who shows no certificate is told, first for a body and then for headers that do not end."""
    told = []
    with party.connect(other, credential=None) as connection:
        headers = [*party.headers(other), ("Content-Length", str(HUGE))]
        connection.send(request("POST", "/federation/x/y", headers=headers, length=False))
        # The answer does not wait for the body; what comes of that all the same is thrown away.
        told.append(connection.read().json["code"])
        pour(connection, b"x" * 65_536, most)
    with party.connect(other, credential=None) as connection:
        connection.send(b"POST /federation/x/y HTTP/1.1\r\nHost: " + other.infra.encode() + b"\r\n")
        pour(connection, ENDLESS, 24 * KIB)
        told.append(connection.read().json["code"])
        pour(connection, ENDLESS, most)
    return told


@pytest.mark.case("DOS-005")
def test_nothing_is_buffered_of_whoever_has_proven_nothing(federation: Federation) -> None:
    a, b, c = federation.parties
    with agent_at(b):
        before, memory, peak = b.last_row(), memory_of(b), 0
        with no_state_change(b), no_component_call(b), ThreadPoolExecutor(AT_ONCE) as pool:
            sent = [pool.submit(greed, a, b, HUGE if each < PATIENT else MIB) for each in range(STRANGERS)]
            while not all(each.done() for each in sent):
                peak = max(peak, memory_of(b))
                time.sleep(0.1)
        found = Counter(code for each in sent for code in each.result())
        assert found == {"client_certificate_required": STRANGERS, "headers_too_large": STRANGERS}
        assert peak - memory < CEILING
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(a.site.host.connect(b.site.host.ipv4, PORT)) for _ in range(IDLE)]
            opened = time.monotonic()
            # Somebody at another address is served beside them, and at theirs.
            clean_request(c, b)
            clean_request(a, b)
            assert memory_of(b) - memory < CEILING
            assert time.monotonic() - opened < CUT_SECONDS / 2
            for each in idle:
                each.settimeout(max(0.01, opened + CUT_SECONDS - time.monotonic()))
                assert ended(each)
        wait_until(lambda: seen(b, before, found) == found, within=WITHIN, what="the rows")
    clean_request(a, b)


def seen(party: Party, since: int, codes: Iterable[str]) -> dict[str, int]:
    """How many denials there are for each of `codes`."""
    rows = party.denials(since)
    return {code: counted(rows, code)[1] for code in codes}


def ended(sock: socket.socket) -> bool:
    """Whether the other side closes it before its time is over."""
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def pour(connection: Connection, piece: bytes, most: int) -> int:
    """Send pieces until somebody cuts it; returns the bytes that were taken."""
    taken = 0
    with contextlib.suppress(OSError):
        while taken < most:
            connection.send(piece)
            taken += len(piece)
    return taken
