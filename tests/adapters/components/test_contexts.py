"""Nobody is answered on a component socket but the own Federator, for the request that it has proven, once."""

import base64
import json
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from isthmus.domain.federation.directory import User, Visibility
from isthmus.protocol.context import HEADER, seal
from isthmus.protocol.steady import since_start
from isthmus.server.adapters.components.contexts import Crowded, Gate, NoContext, Seen
from isthmus.server.application.directory import DirectoryComponent
from isthmus.server.ports import Store
from isthmus.server.records import Outcome
from tests.adapters.components.backend import (
    KEY,
    A,
    Asking,
    NoInstances,
    Sockets,
    a_remote,
    answering,
    changing,
    federated,
    registering,
)
from tests.tables import contents

ALICE = User(uuid4(), "alice", "Alice", Visibility.HANDLE, datetime.now(UTC))


@pytest.fixture
async def sockets(store: Store, tmp_path: Path) -> AsyncIterator[Sockets]:
    await federated(store, a_remote(A))
    async with store.transaction() as tx:
        await tx.directory.add(ALICE)
    components = {"directory": DirectoryComponent(NoInstances()).endpoints(), **registering()}
    async with answering(store, tmp_path, components) as made:
        yield made


def asking(**fields: Any) -> Asking:
    return Asking("directory", "get-user-by-handle", {"handle": "alice"}, **fields)


async def test_the_socket_is_for_the_owner_of_the_process_alone(sockets: Sockets) -> None:
    mode = sockets.places.component("directory").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_plain_headers_without_a_context_are_answered_to_nobody(sockets: Sockets) -> None:
    ask = asking()
    plain = {
        "content-type": "application/json",
        "isthmus-origin-domain": A,
        "x-calling-instance": str(uuid4()),
        "x-sdwan-network": "wan",
        "x-forwarded-for": "192.0.2.7",
    }
    row = await sockets.denied(await sockets.ask(ask, headers=plain), 401, "context_invalid")
    assert (row.actor, row.reason) == ("anyone", "context.missing")
    assert (await sockets.ask(ask)).json()["handle"] == "alice"
    assert await sockets.rows() == []


def unsigned(ask: Asking) -> str:
    """What algorithm `none` makes of a context."""
    head, body, _ = seal(ask.context(), KEY).split(".")
    none = json.loads(base64.urlsafe_b64decode(head + "==")) | {"alg": "none"}
    return base64.urlsafe_b64encode(json.dumps(none).encode()).rstrip(b"=").decode() + f".{body}."


def with_key_id(ask: Asking, name: str) -> str:
    protected = {"alg": "HS256", "typ": "isthmus-context+jwt", "kid": name}
    return jws.serialize_compact(protected, msgspec.json.encode(ask.context()), OctKey.import_key(KEY))


NOW = since_start
WRONG: dict[str, Any] = {
    "algorithm none": lambda: {"headers": {HEADER: unsigned(changing())}},
    "another key id": lambda: {"headers": {HEADER: with_key_id(changing(), "directory")}},
    "another key": lambda: {"key": b"x" * 32},
    "another audience": lambda: {"sealed": {"aud": "directory"}},
    "another method": lambda: {"sealed": {"method": "GET"}},
    "another path": lambda: {"sealed": {"path": "/federation/notice"}},
    "another body": lambda: {"sealed": {"body": sha256(b"[]").hexdigest()}},
    "a time that is over": lambda: {"sealed": {"iat": NOW() - 10.1, "exp": NOW() - 0.1}},
    "a time to come": lambda: {"sealed": {"iat": NOW() + 60, "exp": NOW() + 70}},
    "a time that is too long": lambda: {"sealed": {"exp": NOW() + 3600}},
    "a time before this process": lambda: {"sealed": {"iat": NOW() - 9, "exp": NOW() + 1}},
    "no text of its kind": lambda: {"headers": {HEADER: "a.b.c"}},
    "a flood of text": lambda: {"headers": {HEADER: "a" * 9000}},
}


@pytest.mark.case("HDR-009")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_context_with_one_wrong_field_is_refused(sockets: Sockets, database_url: str, wrong: Any) -> None:
    before = await contents(database_url)
    row = await sockets.denied(await sockets.ask(changing(**wrong())), 401, "context_invalid")
    assert row.actor == "anyone"
    assert row.reason is not None
    assert row.reason.startswith("context.")
    assert await contents(database_url) == before
    assert (await sockets.ask(changing())).status_code == 200
    assert await contents(database_url) != before


@pytest.mark.case("HDR-009")
async def test_the_same_bytes_are_not_taken_a_second_time(sockets: Sockets, database_url: str) -> None:
    ask = changing()
    headers = ask.sent()
    assert (await sockets.ask(ask, headers=headers)).status_code == 200
    after = await contents(database_url)
    (done,) = await sockets.rows()
    assert done.outcome is Outcome.DONE
    row = await sockets.denied(await sockets.ask(ask, headers=headers), 401, "context_invalid")
    assert row.reason == "context.used"
    assert await contents(database_url) == after


async def test_a_context_goes_with_a_key_file_that_was_replaced(sockets: Sockets) -> None:
    """`isthmus federation` may draw new keys while both processes run."""
    path = sockets.places.context_key("directory")
    fresh = path.with_suffix(".new")
    fresh.write_bytes(b"n" * 32)
    fresh.replace(path)
    assert (await sockets.ask(asking())).status_code == 401
    assert (await sockets.ask(asking(key=b"n" * 32))).status_code == 200
    path.write_bytes(b"")
    await sockets.rows()
    row = await sockets.denied(await sockets.ask(asking(key=b"n" * 32)), 401, "context_invalid")
    assert row.reason == "context.no_key"
    path.unlink()
    row = await sockets.denied(await sockets.ask(asking(key=b"n" * 32)), 401, "context_invalid")
    assert row.reason == "context.no_key"


def test_ids_are_forgotten_long_after_they_expired_and_never_too_many_are_kept() -> None:
    seen = Seen(most=2)
    assert seen.take("a", 0.0)
    assert seen.take("b", 1.0)
    with pytest.raises(Crowded):
        seen.take("c", 2.0)
    assert not seen.take("a", 17.9)
    assert seen.take("a", 18.1)


def test_what_was_sealed_for_the_process_before_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    ask = asking()
    context = ask.context()
    after = Gate("directory", tmp_path / "key", lambda: context.iat + 0.001)
    with pytest.raises(NoContext) as refused:
        after.read(seal(context, KEY))
    assert refused.value.reason == "context.epoch"
    before = Gate("directory", tmp_path / "key", lambda: context.iat)
    assert before.read(seal(context, KEY)) == context
