"""A backend with two Federators and two ingresses, on a PostgreSQL that gets into trouble: what must be remembered."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import pytest

from isthmus.protocol.context import HEADER
from isthmus.protocol.places import Places
from lab import Lab
from lab.meeting import acquaint, at_once, make_ready
from lab.organisation import DATA, Organisation
from lab.recording import Recorder
from lab.scripted_names import ScriptedNames
from lab.waiting import listens, wait_until
from tests.federation.checks import clean_request, refused
from tests.federation.party import CALL, Party, over_socket
from tests.federation.test_faults import CONFIRM, of, signed
from tests.federation.test_outbox import remote
from tests.federation.wire import Answer, NoAnswer, request
from tests.stores import PostgresServer

WITHIN = 30.0
WORKERS = 4
PAUSE = 0.1
"""Seconds between two calls of a worker: all of them stay within what one Federator lets a remote do."""
AT_ONCE = 0.3
"""Seconds after a kill in which what was under way may have no answer."""
AWAY = 1.0
"""Seconds that the supervisor waits before it starts anew what was killed."""
BACK_SECONDS = 5.0
LONGEST_ANSWER = 11.0
LOCKED_SECONDS = 60.0
TRIES = 12
ROLE = "isthmus"


@dataclass(frozen=True)
class Pair:
    """A calls B, which has two of each."""

    a: Party
    b: Party
    postgres: PostgresServer


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer) -> Iterator[Pair]:
    with Lab() as lab, ExitStack() as stack:
        names = ScriptedNames(lab)
        postgres.query(f"CREATE ROLE {ROLE} LOGIN")
        url = postgres.create("two", ROLE)
        stack.callback(postgres.drop, "two")
        settings = {"database_url": url, "replicas": 2, "agent_listen": "127.0.0.1:8081"}
        sites = [Organisation(names, "a"), Organisation(names, "b", settings=settings)]
        for site in sites:
            stack.callback(site.stop)
            stack.callback(site.api.close)
        make_ready(sites)
        a, b = (Party(site) for site in sites)
        wait_until(partial(all_run, b), within=WITHIN, what="two of each")
        acquaint(*sites)
        at_once([a.populate, b.populate])
        # Whoever tries again and again shall be told why, and not that it asks too much.
        limits = remote(b, a)["limits"] | {"mutations": 1000.0, "mutations_burst": 1000, "requests_burst": 1000}
        b.api.patch(f"/remotes/{a.domain}", json={"limits": limits}).raise_for_status()
        yield Pair(a, b, postgres)


def all_run(party: Party) -> bool:
    """Whether both Federators listen, and nginx of both ingresses."""
    places = Places(party.site.host.path(DATA)).of_replicas(2)
    return all(listens(path) for each in places for path in (each.inward, each.outward, each.ingress_status))


def handled_by(party: Party, answer: Answer) -> str:
    """Which of its Federators has a line for a call in its log."""
    called = answer.header("X-Request-Id") or ""
    names = ("federator", "federator-2")

    def found() -> str:
        return next((name for name in names if any(called in line for line in party.site.log_of(name))), "")

    return wait_until(found, within=WITHIN, what=f"a line for {called}") or ""


@dataclass
class Outcome:
    """How one request ended: `status` 0 is no answer. `at` is when it was sent, `seconds` how long it took."""

    at: float
    seconds: float
    status: int
    code: str = ""
    retry_after: str | None = None


@dataclass
class Load:
    """Calls of A at B from several threads: reads, and mutations, each sent again until it is acknowledged."""

    a: Party
    b: Party
    outcomes: list[Outcome] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._body = json.dumps({"short_code": remote(self.b, self.a)["short_code"]}).encode()
        threads = [threading.Thread(target=self._work) for _ in range(WORKERS)]
        threads.append(threading.Thread(target=self._look))
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._over.set()
            for each in threads:
                each.join()

    def since(self, at: float) -> list[Outcome]:
        return [each for each in list(self.outcomes) if each.at >= at]

    def _work(self) -> None:
        while not self._over.is_set():
            for _ in range(4):
                self._send(self.a.request(self.b))
            key = str(uuid4())
            # What was begun is brought to its end, also after the load.
            deadline = time.monotonic() + 2 * LONGEST_ANSWER if self._over.is_set() else None
            while self._send(self._mutation(key)).status != 200:
                if deadline is None and self._over.is_set():
                    deadline = time.monotonic() + 2 * LONGEST_ANSWER
                if deadline is not None and time.monotonic() > deadline:
                    raise AssertionError(f"the mutation {key} is never acknowledged")
            self.acknowledged.append(key)

    def _look(self) -> None:
        """The whole way of a user of A, whose own side learns of B's trouble by it."""
        while not self._over.wait(PAUSE):
            self.a.lookup(f"alice@{self.b.domain}")

    def _mutation(self, key: str) -> bytes:
        return self.a.request(self.b, CONFIRM, body=self._body, changed=signed(self.a, CONFIRM, self._body, key))

    def _send(self, data: bytes) -> Outcome:
        time.sleep(PAUSE)
        at = time.monotonic()
        try:
            answer = self.a.asks(self.b, data)
        except (NoAnswer, OSError):
            outcome = Outcome(at, time.monotonic() - at, 0)
        else:
            code = "" if answer.status == 200 else answer.json["code"]
            outcome = Outcome(at, time.monotonic() - at, answer.status, code, answer.header("Retry-After"))
        self.outcomes.append(outcome)
        return outcome


def kill(party: Party, *processes: str) -> None:
    """With SIGKILL, nginx and its workers with who keeps them; the supervisor starts others."""
    for name in processes:
        pid = party.site.pid(name)
        assert pid is not None
        # Each has a process group of its own.
        os.killpg(pid, signal.SIGKILL)


def acknowledged_and_done(load: Load, rows: int, version: int) -> None:
    """Each mutation that was acknowledged has its one row, and each row its one effect."""
    done = [row for row in of(load.b, load.a, rows) if row["outcome"] == "done"]
    assert {row["action"] for row in done} == {"remote.confirm"}
    assert len(done) == len(load.acknowledged)
    assert remote(load.b, load.a)["version"] == version + len(done)
    # Raises where a row was lost or changed.
    load.b.site.cli("audit", "verify")


@pytest.mark.case("FAULT-005")
def test_traffic_goes_on_when_one_federator_and_one_ingress_are_killed(pair: Pair) -> None:
    a, b = pair.a, pair.b
    rows, version, load = b.last_row(), remote(b, a)["version"], Load(a, b)
    with load.running():
        time.sleep(AWAY)
        for doomed in (("federator", "ingress-2"), ("federator-2", "ingress")):
            kill(b, *doomed)
            killed = time.monotonic()
            time.sleep(AWAY)
            # The others alone are there, and no call fails.
            meanwhile = [each for each in load.since(killed + AT_ONCE) if each.at < killed + AWAY]
            assert len(meanwhile) > WORKERS
            assert {each.status for each in meanwhile} == {200}, meanwhile
            wait_until(partial(all_run, b), within=WITHIN, what="those that were killed")
            time.sleep(AWAY)
    lost = {(each.status, each.code) for each in load.outcomes if each.status != 200}
    # The last one is said to whoever asks again while what was begun is not done.
    assert lost <= {(0, ""), (503, "upstream_unavailable"), (409, "idempotency_in_progress")}
    acknowledged_and_done(load, rows, version)


def by_each(party: Party, ask: Callable[[], Answer]) -> dict[str, Answer]:
    """The last answer that came by each Federator."""
    found: dict[str, Answer] = {}
    for _ in range(TRIES):
        answer = ask()
        found[handled_by(party, answer)] = answer
        if len(found) == 2:
            return found
    raise AssertionError(f"all went by {list(found)}")


@pytest.mark.case("FAULT-005")
def test_what_one_federator_has_seen_the_other_one_knows(pair: Pair) -> None:
    a, b = pair.a, pair.b
    rows, version, key = b.last_row(), remote(b, a)["version"], str(uuid4())
    body = json.dumps({"short_code": remote(b, a)["short_code"]}).encode()

    def sent(key: str) -> bytes:
        return a.request(b, CONFIRM, body=body, changed=signed(a, CONFIRM, body, key))

    first = sent(key)
    answer = a.asks(b, first)
    assert answer.status == 200
    # The same signed bytes: the nonce is known to both.
    for each in by_each(b, partial(a.asks, b, first)).values():
        refused(each, 409, "replay_detected")
    # The same key, signed anew: both give the answer that was kept.
    for each in by_each(b, lambda: a.asks(b, sent(key))).values():
        assert (each.status, each.body) == (200, answer.body)
    # And so it is with who has not been there when it happened.
    name = handled_by(b, answer)
    kill(b, name)
    time.sleep(AT_ONCE)
    refused(a.asks(b, first), 409, "replay_detected")
    assert a.asks(b, sent(key)).body == answer.body
    wait_until(partial(all_run, b), within=WITHIN, what=f"another {name}")
    for each in by_each(b, partial(a.asks, b, first)).values():
        refused(each, 409, "replay_detected")
    done = [row for row in of(b, a, rows) if row["outcome"] == "done"]
    assert [row["action"] for row in done] == ["remote.confirm"]
    # The twin: another mutation, by both.
    assert all(each.status == 200 for each in by_each(b, lambda: a.asks(b, sent(str(uuid4())))).values())
    assert remote(b, a)["version"] > version + 1


@pytest.mark.case("FAULT-005")
def test_a_context_that_one_federator_has_sealed_is_used_once_whoever_brings_it(pair: Pair) -> None:
    a, b = pair.a, pair.b
    box = Recorder("directory of b", b.site.places.component("directory"))
    box.place()
    try:
        # Connections that are older do not pass the box.
        kill(b, "federator", "federator-2")
        time.sleep(AT_ONCE)
        wait_until(partial(all_run, b), within=WITHIN, what="both Federators")
        for name in by_each(b, lambda: clean_request(a, b)):
            assert name
        seen = [each for each in box.since(0) if each.path == CALL.partition(" ")[2].replace("/directory", "")]
        contexts = {each.header(HEADER): each for each in seen}
        assert len(contexts) == len(seen) >= 2
        for each in contexts.values():
            headers = [(name, value) for name, value in each.headers if name.lower() != "content-length"]
            again = request(each.method, each.path, headers=headers, body=each.body)
            refused(over_socket(box.real, again), 401, "context_invalid")
    finally:
        box.remove()
    clean_request(a, b)


def test_both_federators_cut_a_remote_at_once(pair: Pair) -> None:
    a, b = pair.a, pair.b
    try:
        b.api.post(f"/remotes/{a.domain}/suspend").raise_for_status()
        time.sleep(AT_ONCE)
        for each in by_each(b, partial(a.asks, b)).values():
            refused(each, 403, "remote_suspended")
    finally:
        b.api.post(f"/remotes/{a.domain}/resume")
    time.sleep(AT_ONCE)
    by_each(b, lambda: clean_request(a, b))


def test_calls_of_ours_take_the_federator_that_is_there(pair: Pair) -> None:
    a, b = pair.a, pair.b
    assert b.lookup(f"alice@{a.domain}").status_code == 200
    for name in ("federator", "federator-2"):
        kill(b, name)
        time.sleep(AT_ONCE)
        assert b.lookup(f"alice@{a.domain}").status_code == 200
        wait_until(partial(all_run, b), within=WITHIN, what=f"another {name}")


# ---- the database


@contextmanager
def locked(postgres: PostgresServer, seconds: float) -> Iterator[None]:
    """For so long nobody reads or writes what is known of remotes."""
    lock = "LOCK TABLE remotes IN ACCESS EXCLUSIVE MODE"
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(postgres.query, f"BEGIN; {lock}; SELECT pg_sleep({seconds}); COMMIT", "two", 2 * seconds)
        yield
        done.result()


@contextmanager
def no_connection_left(postgres: PostgresServer) -> Iterator[None]:
    """Nobody of B's user is let in any more; PostgreSQL has one code for this and for all connections being taken."""
    postgres.query(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    postgres.cut_connections()
    try:
        yield
    finally:
        postgres.query(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


def bounded_and_denied(load: Load, began: float, ended: float) -> None:
    """What was sent meanwhile has an answer in time, and each is a service or a refusal that asks to come again."""
    found = [each for each in load.since(began) if each.at < ended]
    assert found
    denied = [each for each in found if each.status != 200]
    assert denied
    assert {(each.status, each.code) for each in denied} == {(503, "overloaded")}
    assert all(each.retry_after is not None and int(each.retry_after) > 0 for each in denied)
    assert max(each.seconds for each in found) < LONGEST_ANSWER


def back_within(load: Load, seconds: float) -> None:
    """From so many seconds on every call succeeds."""
    ended = time.monotonic()
    time.sleep(seconds + AWAY)
    late = load.since(ended + seconds)
    assert late
    assert {each.status for each in late} == {200}, late
    assert load.a.lookup(f"alice@{load.b.domain}").status_code == 200


@pytest.mark.case("FAULT-006")
def test_a_database_in_trouble_denies_in_time_and_is_back_in_seconds(pair: Pair) -> None:
    a, b, postgres = pair.a, pair.b, pair.postgres
    rows, version, load = b.last_row(), remote(b, a)["version"], Load(a, b)
    with load.running():
        time.sleep(AWAY)
        assert {each.status for each in load.outcomes} == {200}
        began = time.monotonic()
        postgres.stop()
        time.sleep(3 * AWAY)
        bounded_and_denied(load, began, time.monotonic())
        postgres.start_again()
        back_within(load, BACK_SECONDS)
        began = time.monotonic()
        with locked(postgres, LOCKED_SECONDS):
            time.sleep(LOCKED_SECONDS - AWAY)
            bounded_and_denied(load, began, time.monotonic() - LONGEST_ANSWER)
        back_within(load, BACK_SECONDS)
        with no_connection_left(postgres):
            began = time.monotonic()
            time.sleep(5 * AWAY)
            bounded_and_denied(load, began, time.monotonic() - AWAY)
        back_within(load, BACK_SECONDS)
    acknowledged_and_done(load, rows, version)


def test_an_api_call_in_that_trouble_is_told_to_come_again(pair: Pair) -> None:
    b, postgres = pair.b, pair.postgres
    postgres.stop()
    try:
        answer = b.api.get("/networks")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        postgres.start_again()
    wait_until(lambda: b.api.get("/networks").is_success, within=WITHIN, what="service")
