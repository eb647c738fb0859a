"""A database as the first release left it: its schema, and the rows of a network in use, past all code of today."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, insert, update

from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.db.migrate import upgrade
from isthmus.server.application import secrets
from isthmus.wireguard.keys import PrivateKey
from tests.tables import on_connection

MADE_AT = 1_700_000_000_000_000  # microseconds since 1970, as all times in there
NEVER = 4_000_000_000_000_000
ULA = "fd75:bd09:2254"
PREFIX = "fd75bd0922540001"
FIRST = "0001"


@dataclass
class Before:
    """What the rows of `filled` are about. Peers by name, jump peer first; `waiting` has not enrolled."""

    network: NetworkId = field(default_factory=lambda: NetworkId(UUID(int=1)))
    peers: dict[str, UUID] = field(
        default_factory=lambda: {
            name: UUID(int=number) for number, name in enumerate(("gw", "laptop", "waiting", "phone"), 2)
        }
    )
    keys: dict[str, str] = field(
        default_factory=lambda: {name: str(PrivateKey.generate().public()) for name in ("gw", "laptop", "phone")}
    )
    sessions: dict[str, str] = field(default_factory=lambda: {name: _secret(name) for name in ("gw", "laptop")})
    enrollment_token: str = "isthmus-enroll-" + "w" * 43
    api_token: str = "isthmus-api-" + "a" * 43
    revision: int = 7


def _secret(name: str) -> str:
    return secrets.SESSION + name[0] * 43


async def filled(url: str, version: str = FIRST) -> Before:
    """Make the first release's schema in an empty database, with a network in use; then bring both to `version`."""
    before = Before()
    await on_connection(url, lambda connection: _fill(connection, before))
    if version != FIRST:
        await on_connection(url, lambda connection: _bring_to(connection, version))
    return before


def _fill(connection: Connection, before: Before) -> None:
    _bring_to(connection, FIRST)
    tables = MetaData()
    tables.reflect(connection)
    native = connection.dialect.name == "postgresql"

    def stored(value: Any) -> Any:
        return value.hex if isinstance(value, UUID) and not native else value

    connection.execute(update(tables.tables["backend"]), {"ula": f"{ULA}::/48", "audited": 1})
    for name, rows in _rows(before):
        for row in rows:
            connection.execute(insert(tables.tables[name]), {key: stored(value) for key, value in row.items()})


def _bring_to(connection: Connection, version: str) -> None:
    config = Config()
    package = upgrade.__module__.rpartition(".")[0]
    config.set_main_option("script_location", f"{package}:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def _rows(before: Before) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Table by table in an order that foreign keys allow."""
    user, network, peers = UUID(int=100), before.network, before.peers
    made = {"created_at": MADE_AT}
    yield "users", [{"id": user, "name": "admin", "password_hash": "none that anything fits", **made}]
    token = {"digest": secrets.digest_of(before.api_token), "prefix": "isthmus-api-aaaaaa"}
    yield (
        "api_tokens",
        [{"id": UUID(int=101), "user_id": user, "name": "old", "scopes": ["read", "write"], **token, **made}],
    )
    ranges = {"cidr_v4": "10.20.0.0/24", "cidr_v6": f"{ULA}:1::/64", "domain": "office.internal"}
    numbers = {"mtu": 1420, "listen_port": 51820, "keepalive": 25, "version": 3}
    revisions = {"revision": before.revision, "jump_revision": before.revision, "shared_revision": 5}
    yield "networks", [{"id": network, "name": "office", **ranges, **numbers, **revisions, **made}]
    yield "peers", [_peer(before, name, number) for number, name in enumerate(peers)]
    yield "offers", [{"network_id": network, "cidr": "192.168.9.0/24", "peer_id": peers["laptop"]}]
    yield (
        "holdings",
        [
            {"network_id": network, "address": address, "family": family, "held": "peer", "peer_id": peer_id}
            for number, peer_id in enumerate(peers.values(), 1)
            for family, address in ((4, f"0a1400{number:02x}"), (6, f"{PREFIX}{number:016x}"))
        ],
    )
    yield (
        "free_ranges",
        [
            {"network_id": network, "family": 4, "first": "0a140005", "last": "0a1400fe"},
            {"network_id": network, "family": 6, "first": f"{PREFIX}{5:016x}", "last": f"{PREFIX}ffffffffffffff7f"},
        ],
    )
    waiting = {"digest": secrets.digest_of(before.enrollment_token), "prefix": "isthmus-enroll-wwwwww"}
    yield "enrollment_tokens", [{"peer_id": peers["waiting"], "expires_at": NEVER, **waiting, **made}]
    yield (
        "sessions",
        [
            {"id": UUID(int=200 + number), "peer_id": peers[name], "digest": secrets.digest_of(session), **made}
            for number, (name, session) in enumerate(before.sessions.items())
        ],
    )
    yield "peer_statuses", [{"peer_id": peers["laptop"], "hostname": "moon", "applied_revision": 5, "rx": 7, "tx": 9}]
    subjects = [network, peers["gw"], peers["gw"], peers["laptop"], peers["laptop"], peers["waiting"], peers["phone"]]
    yield (
        "revision_log",
        [
            {
                "network_id": network,
                "revision": revision,
                "event": "peer.updated",
                "subject": subject,
                "audience": "everyone",
            }
            | {"at": MADE_AT}
            for revision, subject in enumerate(subjects, 1)
        ],
    )
    row = {"actor": "user:admin", "action": "network.create", "subject": str(network), "outcome": "done"}
    yield "audit_log", [{"number": 1, "at": MADE_AT, "request_id": "old", "facts": {}, **row}]


def _peer(before: Before, name: str, number: int) -> dict[str, Any]:
    kind = {"gw": "jump", "phone": "static"}.get(name, "dynamic")
    endpoint = {"endpoint_host": "198.51.100.7", "endpoint_port": 51820} if kind == "jump" else {}
    flags = {"isolated": False, "full_encapsulation": False, "server_made_key": kind == "static", "labels": {}}
    facts = {"network_id": before.network, "public_key": before.keys.get(name), "revision": 2 + number, "version": 1}
    return {"id": before.peers[name], "name": name, "kind": kind, "created_at": MADE_AT, **facts, **flags, **endpoint}
