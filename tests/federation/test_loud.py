"""A remote that is refused again and again, or proposes without end: it is limited and reported, and nobody else is."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from lab.waiting import wait_until
from tests.federation.checks import clean_request, no_state_change
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.test_faults import signed
from tests.federation.wire import Answer, Connection

TELL = "POST /federation/grants/tell"
GET = "POST /federation/resources/get"
WITHIN = 30.0
MANY = 60
PLENTY = {"requests": 300, "requests_burst": 40, "mutations": 100, "mutations_burst": 100, "parallel": 50}
TIGHT = {"requests": 20, "requests_burst": 40, "mutations": 0.1, "mutations_burst": 3, "parallel": 50}
SPREAD_SECONDS = 0.04
"""A tenth of the requests that are allowed in a second may be refused, so this is within what `PLENTY` allows."""


@contextmanager
def limits(at: Party, of: Party, **limit: float) -> Iterator[None]:
    path = f"/remotes/{of.domain}"
    before = at.api.get(path).raise_for_status().json()["limits"]
    at.api.patch(path, json={"limits": limit}).raise_for_status()
    try:
        yield
    finally:
        at.api.patch(path, json={"limits": before}).raise_for_status()


def denied(a: Party, b: Party) -> bytes:
    """A call that nobody's grant allows."""
    body = json.dumps({"kind": "service", "id": str(uuid4())}).encode()
    return a.request(b, GET, body=body, changed={"Authorization": "Bearer isthmus-grant-" + "A" * 43})


def proposal(a: Party, b: Party) -> bytes:
    now = time.time()
    body = json.dumps(
        {
            "id": str(uuid4()), "revision": 1, "subject": f"alice@{b.domain}", "kind": "service", "resource_id": None,
            "scopes": ["read"], "issued_at": now, "expires_at": now + 86_400, "revoked": False,
        }
    ).encode()  # fmt: skip
    return a.request(b, TELL, body=body, changed=signed(a, TELL, body, str(uuid4())))


def findings(at: Party, of: Party) -> list[Any]:
    items = at.api.get("/findings").raise_for_status().json()["items"]
    return [each for each in items if each["domain"] == of.domain and each["kind"] == "remote_misbehaves"]


def is_limited(answer: Answer) -> bool:
    if answer.status != 429:
        return False
    assert answer.json["code"] == "rate_limited"
    assert answer.header("Retry-After") == str(answer.json["retry_after"])
    return True


@dataclass
class Hammer:
    """What A sends to B, and how often each answer came."""

    a: Party
    b: Party
    connection: Connection
    codes: Counter[str] = field(default_factory=Counter)

    def is_limited(self, make: Callable[[Party, Party], bytes]) -> bool:
        answer = self.connection.ask(make(self.a, self.b))
        self.codes[answer.json.get("code", "ok")] += 1
        return is_limited(answer)

    def is_heard(self, make: Callable[[Party, Party], bytes]) -> bool:
        return not self.is_limited(make)


@pytest.mark.case("SEED-160")
def test_a_remote_that_undermines_others_is_limited_and_reported_and_they_keep_their_service(
    federation: Federation,
) -> None:
    a, b, c = federation.parties
    # The twin: as many refusals, spread over what is allowed.
    with limits(b, a, **PLENTY), a.connect(b) as connection:
        for _ in range(MANY):
            assert connection.ask(denied(a, b)).status in (401, 403)
            time.sleep(SPREAD_SECONDS)
        clean_request(a, b)
    assert findings(b, a) == []

    with limits(b, a, **TIGHT), a.connect(b) as connection, c.connect(b) as other:
        before, hammer = b.last_row(), Hammer(a, b, connection)
        with no_state_change(b):
            # Its limits are others as soon as the Federator has heard of them.
            wait_until(partial(hammer.is_limited, denied), within=WITHIN, what="A to be limited")
            for _ in range(MANY):
                hammer.is_limited(denied)
            assert hammer.codes["rate_limited"] > 1
            assert hammer.codes.keys() <= {"rate_limited", "grant_invalid", "grant_required"}
            assert other.ask(c.request(b)).status == 200
        # Proposals of grants: a few are heard, all others are not, and change nothing.
        wait_until(partial(hammer.is_heard, proposal), within=WITHIN, what="A to be heard again")
        wait_until(partial(hammer.is_limited, proposal), within=WITHIN, what="A to be limited")
        with no_state_change(b):
            for _ in range(MANY):
                assert hammer.is_limited(proposal)
                assert other.ask(c.request(b)).status == 200
        rows = wait_until(lambda: _rows(b, a, before, hammer.codes), within=WITHIN, what="the rows")
        assert all(row["facts"]["bucket"] for row in rows if row["reason"] == "rate_limited")
    (finding,) = findings(b, a)
    assert finding["evidence"]["refused"]["rate_limited"] > 0
    assert finding["evidence"]["last_call"] in {"grants/tell", "resources/get"}
    assert findings(b, c) == []
    clean_request(a, b)


def _rows(b: Party, a: Party, before: int, codes: Counter[str]) -> list[Any]:
    """The denials of A, once there is one for each refusal."""
    rows = [row for row in b.denials(before) if row["actor"].startswith(f"remote:{a.domain}/")]
    assert len(rows) <= codes.total() - codes["ok"]
    return rows if len(rows) == codes.total() - codes["ok"] else []
