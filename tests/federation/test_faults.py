"""Faults of the chain: processes that are killed at the worst moment, clocks that jump, DNS that is silent."""

import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest

from isthmus.protocol.federation import CONTENT_DIGEST, IDEMPOTENCY_KEY, SIGNATURE, SIGNATURE_INPUT
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.signatures import Message, sign
from lab.waiting import wait_until
from tests.federation.checks import QUIET_SECONDS, clean_request, refused
from tests.federation.federation import Federation
from tests.federation.party import Party, Row
from tests.federation.planting import has_snapshot, weak_federator
from tests.federation.test_outbox import held_back, received, remote
from tests.federation.wire import NoAnswer

CONFIRM = "POST /federation/handshake/confirm"
WITHIN = 30.0
LONGEST_ANSWER = 14.0


def signed(party: Party, line: str, body: bytes, key: str, at: datetime | None = None) -> dict[str, str | None]:
    """The headers of a mutation of `party`, signed now (or `at`) with a new nonce."""
    own = MessageKey.from_pem(party.site.places.message_key.read_bytes())
    message = Message("POST", line.partition(" ")[2], party.domain, "0", key, body)
    made = sign(message, own, now=at or datetime.now(UTC), nonce=uuid4().hex)
    return {IDEMPOTENCY_KEY: key, **{name: made[name] for name in (CONTENT_DIGEST, SIGNATURE_INPUT, SIGNATURE)}}


def confirmation(party: Party, other: Party, key: str, at: datetime | None = None) -> bytes:
    """What `party` sends to `other` to confirm the short code once more, which changes nothing that counts."""
    body = json.dumps({"short_code": remote(other, party)["short_code"]}).encode()
    return party.request(other, CONFIRM, body=body, changed=signed(party, CONFIRM, body, key, at))


def kill_federator(party: Party) -> None:
    """With SIGKILL; the supervisor starts another one, and the boxes get in its way again."""
    before = party.site.pid("federator")
    party.site.kill("federator", signal.SIGKILL)
    # Before its successor looks: a box that listens would pass for a Federator.
    for box in (boxes := [party.inward, party.outward]):
        box.remove()
        box.path.unlink(missing_ok=True)
    wait_until(lambda: party.site.pid("federator") not in (None, before), within=WITHIN, what="another Federator")
    for box in boxes:
        box.place()
    wait_until(partial(has_snapshot, party), within=WITHIN, what=f"a snapshot at the Federator of {party}")


def of(party: Party, other: Party, after: int) -> list[Row]:
    """What `other` has done at `party`, but for heartbeats."""
    rows = [row for row in party.audit(after) if row["actor"].startswith(f"remote:{other.domain}/")]
    return [row for row in rows if not row["subject"].startswith("heartbeat/")]


@pytest.mark.case("FAULT-001")
def test_a_federator_that_is_killed_before_it_answers_costs_no_second_effect(federation: Federation) -> None:
    a, b = federation.a, federation.b
    rows, calls, key = b.last_row(), b.component("handshake").count(), str(uuid4())
    version = remote(b, a)["version"]
    with held_back(b.component("handshake"), b'"state"') as came, a.connect(b) as connection:
        connection.send(confirmation(a, b, key))
        # The component has answered, so what it did is committed.
        assert came.wait(WITHIN)
        kill_federator(b)
        with contextlib.suppress(NoAnswer):
            # The ingress found nobody behind it any more; it tells, or its connection has ended.
            assert connection.read().status == 503
    stored = b.component("handshake").answers
    first = [each for each in b.component("handshake").since(calls) if each.path.endswith("/confirm")]
    assert len(first) == 1
    answer = a.asks(b, confirmation(a, b, key))
    assert answer.status == 200
    assert answer.body == stored[first[0].connection].rpartition(b"\r\n\r\n")[2]
    # Both calls reached the component; one had the effect, and one row tells of it.
    assert len([each for each in b.component("handshake").since(calls) if each.path.endswith("/confirm")]) == 2
    assert remote(b, a)["version"] == version + 1
    time.sleep(QUIET_SECONDS)
    assert [(row["action"], row["outcome"]) for row in of(b, a, rows)] == [("remote.confirm", "done")]
    # The twin: with another key it is another mutation.
    assert a.asks(b, confirmation(a, b, str(uuid4()))).status == 200
    assert remote(b, a)["version"] == version + 2
    assert len(of(b, a, rows)) == 2
    # Raises where a row was lost or changed.
    b.site.cli("audit", "verify")


def test_a_notice_is_answered_from_the_store_when_the_federator_died_under_it(federation: Federation) -> None:
    a, b = federation.a, federation.b
    rows, calls, number = b.last_row(), b.component("handshake").count(), received(b, a)
    try:
        with held_back(b.component("handshake"), b'"acknowledged"') as came:
            a.api.post(f"/remotes/{b.domain}/suspend").raise_for_status()
            assert came.wait(WITHIN)
            kill_federator(b)
        wait_until(lambda: remote(a, b)["waiting"] == [], within=WITHIN, what="the acknowledgement")
        notices = [each for each in b.component("handshake").since(calls) if each.path.endswith("/notice")]
        assert len(notices) >= 2
        assert len({each.header(IDEMPOTENCY_KEY) for each in notices}) == len({each.body for each in notices}) == 1
        assert received(b, a) == number + 1
        time.sleep(QUIET_SECONDS)
        assert [row["action"] for row in of(b, a, rows)] == ["remote.suspended-there"]
    finally:
        a.api.post(f"/remotes/{b.domain}/resume")
    wait_until(lambda: remote(b, a)["state_there"] == "active", within=WITHIN, what="the next change")
    clean_request(a, b)


def test_with_dns_down_for_ten_minutes_pinned_remotes_keep_working(federation: Federation) -> None:
    a, b, c = federation.parties
    older = a.site.host.path("/run/isthmus-older")
    try:
        with weak_federator(a, "clock-of-discovery"):
            assert a.calls(b.domain).status == 200
            with federation.names.silent():
                for seconds in (0.0, 300.0, 601.0):
                    older.write_text(str(seconds))
                    assert a.calls(b.domain).status == 200, seconds
                    # The other way too: who calls is looked up as well.
                    clean_request(b, a)
                # The twin: of whom nothing was known when DNS went down, nothing can be known.
                refused_for = a.calls(c.domain)
                assert (refused_for.status, refused_for.json["code"]) == (503, "discovery_unavailable")
            wait_until(lambda: a.calls(c.domain).status == 200, within=WITHIN, what="an answer once DNS is back")
            assert a.calls(b.domain).status == 200
    finally:
        older.unlink(missing_ok=True)


def test_a_database_that_is_locked_denies_mutations_and_heals_at_once(federation: Federation) -> None:
    a, b = federation.a, federation.b
    rows, key = b.last_row(), str(uuid4())
    version = remote(b, a)["version"]
    mutation = confirmation(a, b, key)
    with closing(sqlite3.connect(b.site.database, timeout=10, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        refused_for = a.asks(b, mutation)
        assert time.monotonic() - began < LONGEST_ANSWER
        assert refused_for.status == 503, refused_for
        assert refused_for.json["code"] in ("overloaded", "upstream_unavailable")
        assert refused_for.header("Retry-After")
        database.execute("ROLLBACK")
    wait_until(lambda: a.asks(b, confirmation(a, b, key)).status == 200, within=WITHIN, what="service")
    # Nothing was done without its row, and nothing twice.
    assert remote(b, a)["version"] == version + 1
    done = [row for row in of(b, a, rows) if row["outcome"] == "done"]
    assert [row["action"] for row in done] == ["remote.confirm"]
    clean_request(a, b)


@contextlib.contextmanager
def cut_off(party: Party, other: Party) -> Iterator[None]:
    """While the block runs no packet passes between the two."""
    host = party.site.host
    chain = f"chain in {{ type filter hook input priority 0; ip saddr {other.site.host.ipv4} drop; }};"
    host.run(["nft", "-f", "-"], input=f"table inet cut {{ {chain} }}")
    try:
        yield
    finally:
        host.run(["nft", "delete", "table", "inet", "cut"])


def test_a_suspension_during_a_partition_holds_here_at_once_and_there_after_the_heal(federation: Federation) -> None:
    """What there is of that case before there are grants and bridges."""
    a, b = federation.a, federation.b
    clean_request(a, b)
    try:
        with cut_off(b, a):
            b.api.post(f"/remotes/{a.domain}/suspend").raise_for_status()
            # A call that is under way while the Federator hears of it waits for a host that does not answer.
            time.sleep(1)
            assert b.calls(a.domain).status == 403
            assert remote(a, b)["state_there"] == "active"
        refused(a.asks(b), 403, "remote_suspended")
        wait_until(lambda: remote(a, b)["state_there"] == "suspended", within=WITHIN, what="the other side to learn it")
        refused(a.asks(b), 403, "remote_suspended")
    finally:
        b.api.post(f"/remotes/{a.domain}/resume")
    wait_until(lambda: remote(a, b)["state_there"] == "active", within=WITHIN, what="the resumption")
    clean_request(a, b)
