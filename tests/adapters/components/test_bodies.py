"""What is taken as a body: plain JSON of the right types, and hostile one costs little."""

import json
import time
import timeit
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from isthmus.domain.federation.directory import User, Visibility
from isthmus.protocol import plain_json
from isthmus.server.application.directory import DirectoryComponent
from isthmus.server.ports import Store
from tests.adapters.components.backend import A, Asking, NoInstances, Sockets, a_remote, answering, federated
from tests.tables import contents

ALICE = User(uuid4(), "alice", "Alice", Visibility.SEARCH, datetime.now(UTC))
PLAIN = b'{"handle": "alice"}'
MOST = 256 * 1024


@pytest.fixture
async def sockets(store: Store, tmp_path: Path) -> AsyncIterator[Sockets]:
    await federated(store, a_remote(A))
    async with store.transaction() as tx:
        await tx.directory.add(ALICE)
    async with answering(store, tmp_path, {"directory": DirectoryComponent(NoInstances()).endpoints()}) as made:
        yield made


def asking(body: bytes = PLAIN, rpc: str = "get-user-by-handle", **headers: str | None) -> Asking:
    return Asking("directory", rpc, body, headers={name.replace("_", "-"): text for name, text in headers.items()})


NOT_PLAIN: dict[str, tuple[Asking, int, str]] = {
    "gzip": (asking(content_encoding="gzip"), 415, "content_encoding_not_allowed"),
    "deflate": (asking(content_encoding="deflate"), 415, "content_encoding_not_allowed"),
    "br": (asking(content_encoding="br"), 415, "content_encoding_not_allowed"),
    "multipart": (asking(content_type="multipart/form-data; boundary=x"), 415, "unsupported_media_type"),
    "form": (asking(content_type="application/x-www-form-urlencoded"), 415, "unsupported_media_type"),
    "text": (asking(content_type="text/plain"), 415, "unsupported_media_type"),
    "another charset": (asking(content_type="application/json; charset=utf-16"), 415, "unsupported_media_type"),
    "nothing said": (asking(content_type=None), 415, "unsupported_media_type"),
    "UTF-16": (asking(PLAIN.decode().encode("utf-16")), 400, "json_invalid"),
    "UTF-16 without a mark": (asking(PLAIN.decode().encode("utf-16-be")), 400, "json_invalid"),
}

HOSTILE: dict[str, tuple[bytes, str]] = {
    "depth 10,000": (b"[" * 10_000 + b"]" * 10_000, "json_limits"),
    "depth without end": (b'{"a":' * (MOST // 5), "json_limits"),
    "keys without end": (b"{" + b",".join(b'"%x":0' % number for number in range(26_000)) + b"}", "json_limits"),
    "a number of 100,000 digits": (b'{"handle":' + b"9" * 100_000 + b"}", "json_limits"),
    "NaN": (b'{"handle":NaN}', "json_invalid"),
    "1e999": (b'{"handle":1e999}', "json_invalid"),
    "a key twice": (b'{"handle":"bob","handle":"alice"}', "json_invalid"),
    "a key twice, spelt otherwise": (b'{"handle":"bob","\\u0068andle":"alice"}', "json_invalid"),
    "half a surrogate pair": (b'{"handle":"\\ud800"}', "json_invalid"),
    "trailing text": (PLAIN + b" {}", "json_invalid"),
    "nothing": (b"", "json_invalid"),
    "quotes": (b'"' * MOST, "json_limits"),
    "commas": (b"[" + b"," * (MOST - 2) + b"]", "json_invalid"),
    "costly numbers": (b"[" + b"1.234567890123456789e-99," * 10_000 + b"1]", "json_limits"),
}

WRONG: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a list for a string": ("get-user-by-handle", {"handle": ["s3cret"]}, "/handle", "s3cret"),
    "true for a number": ("search-users", {"begins": "al", "limit": True}, "/limit", "true"),
    "2^63": ("search-users", {"begins": "al", "limit": 2**63}, "/limit", str(2**63)),
    "an unknown field": ("get-user-by-handle", {"handle": "alice", "critical": "s3cret"}, "/critical", "s3cret"),
    "a name that is no handle": ("get-user-by-handle", {"handle": "S3CRET; DROP"}, "/handle", "S3CRET"),
    "a field that is missing": ("get-user-by-handle", {}, "/", "alice"),
}


async def refused(sockets: Sockets, url: str, ask: Asking, status: int, code: str) -> Any:
    """The problem of one refusal, which changed nothing and has one row; beside it the benign twin."""
    before = await contents(url)
    answer = await sockets.ask(ask)
    row = await sockets.denied(answer, status, code)
    assert row.actor == "remote:a.example/0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b"
    assert await contents(url) == before
    assert (await sockets.ask(asking())).json()["id"] == str(ALICE.id)
    return answer.json()


@pytest.mark.case("PATH-006")
@pytest.mark.parametrize(("ask", "status", "code"), NOT_PLAIN.values(), ids=NOT_PLAIN)
async def test_only_plain_json_is_taken(
    sockets: Sockets, database_url: str, ask: Asking, status: int, code: str
) -> None:
    await refused(sockets, database_url, ask, status, code)


@pytest.mark.case("PATH-007")
@pytest.mark.parametrize(("body", "code"), HOSTILE.values(), ids=HOSTILE)
async def test_hostile_json_costs_little_and_is_refused(
    sockets: Sockets, database_url: str, body: bytes, code: str
) -> None:
    await refused(sockets, database_url, asking(body), 400, code)


@pytest.mark.case("PATH-007")
@pytest.mark.parametrize("body", [body for body, _ in HOSTILE.values()], ids=HOSTILE)
def test_hostile_json_is_refused_in_less_than_100_ms(body: bytes) -> None:
    assert is_refused(body)
    assert cost_of(partial(is_refused, body)) < 0.1


def is_refused(body: bytes) -> bool:
    try:
        plain_json.check(body)
    except plain_json.NotPlain:
        return True
    return False


def cost_of(work: Callable[[], object]) -> float:
    """Seconds of this thread, the least of a few tries: a loaded machine makes single ones dear."""
    return min(timeit.repeat(work, timer=time.thread_time, number=1, repeat=5))


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b"\\u00e9" * (MOST // 6 - 1) + b'"',
        b"[" + b"1.2345678901234567e-300," * 4_990 + b"1]",
        b"[" + b"null," * (MOST // 5 - 1) + b"null]",
        json.dumps({f"key {number}": "a" * 50 for number in range(2_000)}).encode(),
    ],
    ids=["escapes", "numbers", "nulls", "keys"],
)
def test_what_passes_costs_little_too(body: bytes) -> None:
    assert cost_of(partial(plain_json.check, body)) < 0.1


@pytest.mark.case("PATH-008")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_wrong_types_are_named_by_place_and_not_by_value(
    sockets: Sockets, database_url: str, wrong: tuple[str, dict[str, Any], str, str]
) -> None:
    rpc, body, pointer, value = wrong
    problem = await refused(sockets, database_url, asking(json.dumps(body).encode(), rpc), 422, "validation_failed")
    assert problem["pointer"] == pointer
    assert value.lower() not in json.dumps(problem).lower()


async def test_a_call_that_the_table_lacks_is_refused(sockets: Sockets, database_url: str) -> None:
    await refused(sockets, database_url, asking(rpc="get-everything"), 404, "route_not_found")
    await refused(sockets, database_url, asking(rpc="get-user-by-handle/x"), 404, "route_not_found")
