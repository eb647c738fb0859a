"""Guessing passwords over real sockets, from one address and from many, while somebody signs in who was here before."""

import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from isthmus.server.application.attempts import PER_NAME, PER_NAME_AND_PLACE, WINDOW
from isthmus.server.application.denials import STRANGERS_PER_WINDOW
from tests.api.inprocess import Inside, inside
from tests.application.backend import TurnedClock
from tests.tables import contents

FROM_ONE, FROM_MANY, SOURCES = 640, 350, 70
TIMES = 5
WRONG = "not this one"
OF_SIGN_INS = frozenset({"api_tokens"})


async def guess(client: httpx2.AsyncClient, name: str, password: str = WRONG) -> httpx2.Response:
    return await client.post("/auth/login", json={"username": name, "password": password})


def told(answer: httpx2.Response) -> tuple[int, str, str]:
    """An answer without what is of this one request."""
    body: dict[str, Any] = answer.json()
    return answer.status_code, body["code"], body["detail"] if body["code"] == "unauthenticated" else ""


async def look_alike(server: Inside) -> int:
    """A name that is there and one that is not: equal answers in equal times. Returns how many were refused."""
    answers, least = set(), {}
    for number, name in enumerate(("admin", "nobody")):
        seconds = []
        async with server.client(source=f"127.0.2.{number + 1}") as client:
            for _ in range(TIMES):
                began = time.perf_counter()
                answers.add(told(await guess(client, name)))
                seconds.append(time.perf_counter() - began)
        least[name] = min(seconds)
    assert answers == {(401, "unauthenticated", "user name or password is wrong")}
    # What takes longer for one of them takes longer each time; what else the machine does falls on some of them only.
    assert max(least.values()) < 2 * min(least.values()), least
    return 2 * TIMES


async def guesses(server: Inside, name: str, sources: list[str], count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    clients = [server.client(source=source) for source in sources]
    for number in range(count):
        answer = await guess(clients[number % len(clients)], name)
        found[answer.json()["code"]] += 1
        assert answer.status_code in (401, 429)
        if answer.status_code == 429:
            assert 0 < int(answer.headers["Retry-After"]) <= WINDOW.total_seconds() + 1
    for client in clients:
        await client.aclose()
    return found


@pytest.mark.case("AUTH-006")
@pytest.mark.parametrize("backend_name", ["sqlite"])
async def test_guessing_is_slow_tells_nothing_and_keeps_nobody_out_who_was_here_before(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TurnedClock()
    monkeypatch.setattr("isthmus.server.main.SystemClock", lambda: clock)
    async with inside(tmp_path, database_url) as server, await server.admin() as admin:
        before = await contents(database_url, without=OF_SIGN_INS)
        denied = await look_alike(server)
        for name, source in (("admin", "127.0.3.1"), ("nobody", "127.0.3.2")):
            found = await guesses(server, name, [source], FROM_ONE // 2)
            assert found == {"unauthenticated": PER_NAME_AND_PLACE, "rate_limited": FROM_ONE // 2 - PER_NAME_AND_PLACE}
        many = [f"127.0.4.{number + 1}" for number in range(SOURCES)]
        found = await guesses(server, "admin", many, FROM_MANY)
        assert found["unauthenticated"] == PER_NAME - TIMES - PER_NAME_AND_PLACE
        assert found["rate_limited"] == FROM_MANY - found["unauthenticated"]
        denied += FROM_ONE + FROM_MANY
        # The right password does not help a stranger now, and where its owner was before it opens at once.
        async with server.client(source="127.0.5.1") as stranger, server.client() as at_home:
            assert (await guess(stranger, "admin", server.password)).status_code == 429
            assert (await guess(at_home, "admin", server.password)).status_code == 200
        denied += 1
        assert await contents(database_url, without=OF_SIGN_INS) == before
        await check_counts(server, admin, clock, denied)


async def check_counts(server: Inside, admin: httpx2.AsyncClient, clock: TurnedClock, denied: int) -> None:
    """Every denial of this minute is in the audit log: by a row, and those beyond the bound by their number."""
    clock.turn(timedelta(minutes=2))
    async with server.client(source="127.0.6.1") as later:
        assert (await guess(later, "somebody")).status_code == 401
    rows: list[Any] = []
    query: dict[str, Any] = {"limit": 1000}
    while True:
        page = (await admin.get("/audit", params=query)).raise_for_status().json()
        rows += [row for row in page["items"] if row["outcome"] == "denied"]
        if len(page["items"]) < 1000:
            break
        query["before"] = page["items"][-1]["number"]
    (summary,) = (row for row in rows if row["reason"] == "sampled")
    single = [row for row in rows if row["reason"] in ("unauthenticated", "rate_limited")]
    assert len(single) == STRANGERS_PER_WINDOW + 1
    assert summary["facts"]["left_out"] + STRANGERS_PER_WINDOW == denied
