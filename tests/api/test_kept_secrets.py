"""Private keys that the server holds: sealed in its store or closed in its files, and in nothing that it says."""

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from isthmus.server.adapters.http.access import ACCESS, API, Need
from tests.api.agent import Agent, a_name, a_network, a_peer, a_public_key
from tests.api.watcher import Watcher
from tests.server import Server, running

OWNER_ALONE, FOLDER_OF_OWNER = 0o600, 0o700


@dataclass
class Holder:
    """A server with a CA, leaves, keys of messages and contexts, and two static peers whose keys it keeps."""

    server: Server
    client: httpx2.Client
    token: str
    network: dict[str, Any]
    static: dict[str, str]
    answers: dict[str, bytes] = field(default_factory=dict)
    """What was answered beside the two answers that show a config."""

    @property
    def store(self) -> bytes:
        """The database as it lies on the disk, with its log of writes."""
        return b"".join(path.read_bytes() for path in self.server.data.glob("isthmus.db*"))

    def secrets(self) -> dict[str, list[bytes]]:
        """Every secret that it holds, by what it is, in the spellings in which it could be found."""
        found = {f"config of {peer}": spellings(base64.b64decode(key)) for peer, key in self.static.items()}
        for path in sorted((self.server.data / "federation").rglob("*")):
            if path.is_file() and path.suffix in {".key", ".pem"}:
                found |= {f"{path.name} {path}": each for each in [of_file(path.read_bytes())] if each}
        return found


def spellings(raw: bytes) -> list[bytes]:
    text = base64.b64encode(raw)
    return [raw, text, text.rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"="), raw.hex().encode()]


def of_file(content: bytes) -> list[bytes]:
    """The private part of a key file: of a PEM its lines and the number itself, of random bytes the bytes."""
    if b"PRIVATE KEY" in content:
        key: Any = load_pem_private_key(content[content.index(b"-----BEGIN") :], None)
        inner = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        number = (
            key.private_numbers().private_value.to_bytes(key.key_size // 8, "big")
            if hasattr(key, "private_numbers")
            else key.private_bytes_raw()
        )
        return [*spellings(inner), *spellings(number)]
    return [] if b"-----BEGIN" in content else spellings(content.strip())


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holder]:
    with running(tmp_path_factory.mktemp("holder")) as server:
        token = server.token("read", "write", "admin", "accounts")
        with server.client(token) as client:
            names = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
            client.post("/federation/init", json=names).raise_for_status()
            network, static = a_network(client), {}
            Agent.enrolled(server, a_peer(client, network, kind="jump"))
            for _ in range(2):
                made = a_peer(client, network, kind="static", keep_private_key=True)
                static[made["peer"]["id"]] = key_in(made["config"]["text"])
            yield Holder(server, client, token, network, static)


def key_in(config: str) -> str:
    return config.partition("PrivateKey = ")[2].split()[0]


def ids(holder: Holder) -> dict[str, str]:
    peer = next(iter(holder.static))
    return {"network_id": holder.network["id"], "peer_id": peer, "revision": "1", "certificate": "ca"}


def filled(path: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path.removeprefix(API)


def everything_said(holder: Holder) -> bytes:
    """The answer to every GET that an administrator can make, and to moves that are near to keys."""
    client, said = holder.client, []
    shows_config = f"{API}/peers/{{peer_id}}/config"
    for method, path in ACCESS:
        if method != "GET" or path == shows_config or ACCESS[method, path] in {Need.AGENT, Need.LOCAL}:
            continue
        said.append(client.get(filled(path, ids(holder))))
    said.append(client.post("/certificates/renew", json={}))
    said.append(client.post(f"/peers/{next(iter(holder.static))}/rotate-key"))
    said.append(client.post("/remotes/invitations", json={"domain": "b.example"}))
    assert sum(answer.status_code == 200 for answer in said) > 25
    return b"\n".join(answer.content for answer in said)


@pytest.mark.case("SEED-094")
async def test_private_keys_that_the_server_holds_are_in_no_answer_frame_log_or_raw_store(holder: Holder) -> None:
    frames: list[bytes] = []
    async with Watcher(holder.server, holder.token) as watcher:
        answers = everything_said(holder)
        a_peer(holder.client, holder.network, kind="static", public_key=a_public_key(), name=a_name())
        while not any(b"peer.created" in frame for frame in frames):
            frame = await watcher.connection.recv()
            frames.append(frame.encode() if isinstance(frame, str) else frame)
    secrets = holder.secrets()
    # The CA, two leaves, the key of messages, the listener's, one for each component, and two static peers.
    assert len(secrets) >= 8
    places = {
        "answers": answers,
        "frames": b"\n".join(frames),
        "log": holder.server.log.encode(),
        "raw store": holder.store,
    }
    for place, content in places.items():
        for name, forms in secrets.items():
            assert not any(form in content for form in forms), f"{place} holds {name}"
    # Each place was really searched: what belongs there is found by the same means. Nothing went wrong, so nothing was
    # logged; what is logged where something does is looked at below.
    assert holder.network["name"].encode() in places["answers"]
    assert holder.network["name"].encode() in places["raw store"]
    # The twin: the one answer that shows a config has the key in clear.
    for peer, key in holder.static.items():
        shown = holder.client.get(f"/peers/{peer}/config").raise_for_status()
        assert key_in(shown.json()["text"]) == key


@pytest.mark.case("SEED-094")
def test_what_is_kept_in_files_is_for_the_owner_alone(holder: Holder) -> None:
    folder = holder.server.data / "federation"
    keys = [path for path in folder.rglob("*") if path.is_file() and of_file(path.read_bytes())]
    assert len(keys) >= 6
    for path in [*keys, *holder.server.data.glob("*.key")]:
        assert path.stat().st_mode & 0o777 == OWNER_ALONE, path
        assert path.parent.stat().st_mode & 0o077 == 0, path.parent


@pytest.mark.case("SEED-094")
def test_a_sealed_key_opens_in_its_own_row_alone(holder: Holder) -> None:
    first, second = holder.static
    with closing(sqlite3.connect(holder.server.data / "isthmus.db", timeout=10)) as database:
        rows: dict[Any, bytes] = dict(database.execute("SELECT peer_id, sealed FROM kept_keys").fetchall())
        place = {UUID(hex_of(row)): row for row in rows}
        own, foreign = place[UUID(first)], place[UUID(second)]
        plain = base64.b64decode(holder.static[first])
        assert plain not in rows[own]
        assert len(rows[own]) > len(plain)
        _put(database, own, rows[foreign])
        refused = holder.client.get(f"/peers/{first}/config")
        assert refused.status_code == 500
        assert holder.static[second].encode() not in refused.content
        assert not any(form in holder.server.log.encode() for each in holder.secrets().values() for form in each)
        assert "internal error" in holder.server.log
        _put(database, own, rows[own])
    # A connection on which something broke is not used again.
    with holder.server.client(holder.token) as client:
        shown = client.get(f"/peers/{first}/config").raise_for_status()
    assert key_in(shown.json()["text"]) == holder.static[first]


def _put(database: sqlite3.Connection, row: Any, sealed: bytes) -> None:
    with database:
        changed = database.execute("UPDATE kept_keys SET sealed = ? WHERE peer_id = ?", (sealed, row))
    assert changed.rowcount == 1


def hex_of(stored: Any) -> str:
    return stored.hex() if isinstance(stored, bytes) else str(stored)


def test_this_search_finds_a_key_in_each_spelling(tmp_path: Path) -> None:
    raw = bytes(range(32))
    for form in (raw, base64.b64encode(raw), raw.hex().encode()):
        assert any(each in b"before" + form + b"after" for each in spellings(raw))
