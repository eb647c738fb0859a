"""Enrollment tokens, good and bad: what one buys, and how little there is to learn from one that buys nothing."""

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from isthmus.protocol import agent as wire
from isthmus.server.adapters.db.journal import SqlJournal
from isthmus.server.application.denials import STRANGERS_PER_WINDOW
from isthmus.server.application.enrollment import FAILURES_PER_SOURCE
from isthmus.server.ports import StoreUnavailable
from tests.api.agent import a_name, enroll_body
from tests.api.inprocess import Inside, inside
from tests.application.backend import TurnedClock
from tests.tables import Contents, contents

MINUTE = timedelta(minutes=1)
SHORT = 600  # seconds that a token lives which is to expire in a test
PREFIX = "isthmus-enroll-"
TIMES = 10
GUESSES = 1_500
AT_ONCE = 20
# A spent token with another key is recorded beside the refusal; nothing else may be.
BESIDE = frozenset({"incidents"})


@dataclass
class Office:
    """A server with a network that has a jump peer, and an administrator of it."""

    server: Inside
    clock: TurnedClock
    database_url: str
    admin: httpx2.AsyncClient
    network: str
    gateway_key: str

    async def peer(self, network: str | None = None, **fields: Any) -> tuple[str, str]:
        """A new peer and its token."""
        body = {"name": a_name()} | fields
        answer = await self.admin.post(f"/networks/{network or self.network}/peers", json=body)
        created = answer.raise_for_status().json()
        return created["peer"]["id"], created["enrollment"]["token"]

    async def use(self, token: str, **fields: Any) -> httpx2.Response:
        return await self.admin.post("/agent/enroll", json=enroll_body(token, **fields))

    async def denials(self) -> list[Any]:
        """The newest audit rows first, without those of incidents."""
        rows = (await self.admin.get("/audit", params={"limit": 1000})).raise_for_status().json()["items"]
        return [row for row in rows if row["outcome"] == "denied"]

    async def contents(self) -> Contents:
        return await contents(self.database_url, without=BESIDE)


@pytest.fixture
async def office(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    clock = TurnedClock()
    monkeypatch.setattr("isthmus.server.main.SystemClock", lambda: clock)
    async with inside(tmp_path, database_url) as server, await server.admin() as admin:
        network = (await admin.post("/networks", json={"name": "office"})).raise_for_status().json()["id"]
        made = Office(server, clock, database_url, admin, network, "")
        _, token = await made.peer(kind="jump", endpoint="198.51.100.7:51820")
        body = enroll_body(token)
        (await admin.post("/agent/enroll", json=body)).raise_for_status()
        made.gateway_key = body["public_key"]
        yield made


async def bad_tokens(office: Office) -> dict[str, str]:
    """One token of each kind that enrolls nobody, and their peers. Takes eleven minutes of the server's time."""
    _, expired = await office.peer(token_lifetime=SHORT)
    office.clock.turn(11 * MINUTE)
    _, consumed = await office.peer()
    (await office.use(consumed)).raise_for_status()
    replaced_peer, replaced = await office.peer()
    (await office.admin.post(f"/peers/{replaced_peer}/enrollment-token")).raise_for_status()
    deleted_peer, deleted = await office.peer()
    (await office.admin.delete(f"/peers/{deleted_peer}")).raise_for_status()
    _, good = await office.peer()
    other = (await office.admin.post("/networks", json={"name": "lost"})).raise_for_status().json()["id"]
    _, of_lost_network = await office.peer(other)
    (await office.admin.delete(f"/networks/{other}", params={"force": "true"})).raise_for_status()
    return {
        "expired": expired,
        "consumed": consumed,
        "replaced by a newer one": replaced,
        "of a deleted peer": deleted,
        "of a network that is no more": of_lost_network,
        "of another backend's network": PREFIX + urlsafe_b64encode(bytes(32)).decode().rstrip("="),
        "truncated": good[:-1],
        "one bit off": one_bit_off(good),
    }


def one_bit_off(token: str) -> str:
    secret = bytearray(urlsafe_b64decode(token.removeprefix(PREFIX) + "="))
    secret[16] ^= 1
    return PREFIX + urlsafe_b64encode(secret).decode().rstrip("=")


def without_request(answer: httpx2.Response) -> tuple[int, str, str]:
    """The answer but for the number of its request."""
    body = answer.json()
    assert body.pop("instance") == f"urn:uuid:{body.pop('request_id')}"
    return answer.status_code, answer.headers["content-type"], repr(body)


@pytest.mark.case("SEED-079")
async def test_a_valid_token_buys_a_session_and_a_config_and_the_others_nothing(office: Office) -> None:
    tokens = await bad_tokens(office)
    before = await office.contents()
    answers = set()
    for name, token in tokens.items():
        known = await office.denials()
        refused = await office.use(token)
        assert (refused.status_code, refused.json()["code"]) == (401, "enrollment_token_invalid"), name
        answers.add(without_request(refused))
        (row,) = [row for row in await office.denials() if row not in known]
        assert (row["reason"], row["request_id"]) == ("enrollment_token_invalid", refused.json()["request_id"])
    assert len(answers) == 1
    assert await office.contents() == before

    peer_id, token = await office.peer()
    body = enroll_body(token)
    answer = await office.admin.post("/agent/enroll", json=body)
    assert answer.status_code == 201
    bought = msgspec.json.decode(answer.content, type=wire.EnrollAnswer)
    assert bought.peer.id == peer_id
    assert bought.config.public_key == body["public_key"]
    assert [each.public_key for each in bought.config.neighbours if each.role == "primary"] == [office.gateway_key]
    async with office.server.client(bought.session_token) as agent:
        fetched = msgspec.json.decode((await agent.get("/agent/config")).content, type=wire.ConfigAnswer)
        again = (await agent.get("/agent/config", params={"revision": bought.revision})).json()
    assert (fetched.revision, fetched.config) == (bought.revision, bought.config)
    assert (again["config"], again["delta"]) == (None, None)
    after = await office.contents()
    assert (await office.use(token)).json()["code"] == "enrollment_token_invalid"
    assert await office.contents() == after


@pytest.mark.case("SEED-079")
async def test_a_token_is_spent_and_a_session_begun_in_one_commit_or_not_at_all(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer_id, token = await office.peer()
    before = await office.contents()

    async def fail(*_: object) -> None:
        raise StoreUnavailable("the last statement of the transaction")

    with monkeypatch.context() as broken:
        broken.setattr(SqlJournal, "audit", fail)
        assert (await office.use(token)).status_code == 503
    assert await office.contents() == before
    # Another key: nobody has used it before.
    answer = await office.use(token)
    assert (answer.status_code, answer.json()["peer"]["id"]) == (201, peer_id)
    changed = {name for name, rows in (await office.contents()).items() if rows != before[name]}
    assert {"enrollment_tokens", "sessions", "peers"} <= changed


@pytest.mark.case("ENROL-003")
@pytest.mark.parametrize("backend_name", ["sqlite"])
async def test_bad_tokens_all_look_the_same_and_guessing_ends_at_a_limit(office: Office) -> None:
    tokens = await bad_tokens(office)
    _, good = await office.peer()
    before, known = await office.contents(), await office.denials()
    answers, seconds = set(), {name: list[float]() for name in tokens}
    for _ in range(TIMES):
        for name, token in tokens.items():
            began = time.perf_counter()
            refused = await office.use(token)
            seconds[name].append(time.perf_counter() - began)
            answers.add(without_request(refused))
    ((status, _, body),) = answers
    assert status == 401
    assert "enrollment_token_invalid" in body
    # What takes longer for one kind takes longer each time; what else the machine does falls on some of them only.
    least = {name: min(taken) for name, taken in seconds.items()}
    assert max(least.values()) < 2 * min(least.values()), least
    used = TIMES * len(tokens)
    rows = (await office.denials())[: used + 1]
    assert Counter(row["reason"] for row in rows if row not in known) == {"enrollment_token_invalid": used}
    assert await office.contents() == before

    guessed = await guesses(office, GUESSES // 2)
    assert await office.contents() == before
    # From the very address that guesses, and from another one: who holds a good token waits for nobody.
    assert (await office.use(good)).status_code == 201
    async with office.server.client(source="127.0.0.9") as elsewhere:
        assert (await elsewhere.post("/agent/enroll", json=enroll_body(PREFIX + "guess"))).status_code == 401
    after = await office.contents()
    guessed += await guesses(office, GUESSES // 2)
    assert await office.contents() == after
    assert guessed == {
        (401, "enrollment_token_invalid"): FAILURES_PER_SOURCE - used,
        (429, "rate_limited"): GUESSES - (FAILURES_PER_SOURCE - used),
    }
    await check_counts(office, used + GUESSES + 1)


async def guesses(office: Office, count: int) -> Counter[tuple[int, str]]:
    """What so many random tokens get, all from one address."""
    busy = asyncio.Semaphore(AT_ONCE)

    async def guess(number: int) -> tuple[int, str]:
        async with busy:
            answer = await office.use(f"{PREFIX}{number:043}")
        if answer.status_code == 429:
            assert 0 < int(answer.headers["retry-after"]) <= 61
        return answer.status_code, answer.json()["code"]

    return Counter(await asyncio.gather(*map(guess, range(count))))


async def check_counts(office: Office, denied: int) -> None:
    """Every denial of this minute is in the audit log: by a row, and those beyond the bound by their number."""
    office.clock.turn(2 * MINUTE)
    (await office.admin.get("/health/live")).raise_for_status()
    assert (await office.use(PREFIX + "later")).status_code == 401
    _, summary = (await office.denials())[:2]
    assert summary["reason"] == "sampled"
    assert summary["facts"]["left_out"] == denied - STRANGERS_PER_WINDOW
