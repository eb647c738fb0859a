"""The migrations lead to the schema of the code, and nowhere when the database is not theirs to change."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, insert, text

from isthmus.server.adapters.db import migrate, open_store
from isthmus.server.adapters.db.migrate import upgrade
from isthmus.server.adapters.db.tables import metadata
from isthmus.server.ports import Store, StoreUnavailable
from tests.previous import filled
from tests.tables import on_connection


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def reflected_checks(connection: Connection) -> set[str]:
    found = MetaData()
    found.reflect(connection)
    return {str(each.name) for table in found.tables.values() for each in table.constraints if each.name}


async def test_the_migrated_schema_is_that_of_the_tables(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    assert await on_connection(empty_database_url, differences) == []
    # The comparison looks at neither checks nor names of primary keys.
    declared = {str(each.name) for table in metadata.tables.values() for each in table.constraints}
    assert declared <= await on_connection(empty_database_url, reflected_checks)


async def test_to_migrate_again_changes_nothing(store: Store, database_url: str) -> None:
    await store.check()
    if database_url.startswith("postgresql"):
        await migrate(database_url)
    await store.close()
    await migrate(database_url)
    assert await on_connection(database_url, differences) == []


@pytest.mark.parametrize("backend_name", ["postgresql"])
async def test_servers_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert await on_connection(empty_database_url, differences) == []


async def test_a_schema_newer_than_the_code_is_refused_with_what_to_do(database_url: str) -> None:
    def pretend_to_be_newer(connection: Connection) -> str:
        present = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        return str(present)

    def be_present_again(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = :present"), {"present": present})

    present = await on_connection(database_url, pretend_to_be_newer)
    try:
        with pytest.raises(StoreUnavailable, match=r"schema 9999.*start the newer isthmus.*or restore a backup"):
            await open_store(database_url)
    finally:
        await on_connection(database_url, be_present_again)


REMOTE = {
    "domain": "b.example",
    "generation": 1,
    "state": "active",
    "changed_at": 7,
    "infra_domains": ["infra.b.example"],
    "trust": "pinned",
    "authorities": [],
    "message_keys": {},
    "bundle_sequence": 1,
    "direction": "both",
    "limits": {"requests": 1.0, "requests_burst": 1, "mutations": 1.0, "mutations_burst": 1, "parallel": 1},
    "needs_dnssec": False,
    "needs_tlsa": False,
    "confirmed_here": True,
    "confirmed_there": True,
    "short_code": "",
    "bundle_digest": b"",
    "contact": "",
    "notes": "",
    "version": 1,
}
FINDING = {"kind": "foreign_authority", "domain": "b.example", "first_at": 7, "last_at": 8, "count": 2, "evidence": {}}


@pytest.mark.parametrize("version", ["0001", "0002", "0003", "0004", "0005"])
async def test_every_earlier_schema_comes_to_the_newest_with_all_its_rows(
    empty_database_url: str, version: str
) -> None:
    before = await filled(empty_database_url, version)

    def add_remote(connection: Connection) -> None:
        tables = MetaData()
        tables.reflect(connection)
        id_ = UUID(int=9) if connection.dialect.name == "postgresql" else UUID(int=9).hex
        connection.execute(insert(tables.tables["remotes"]), {**REMOTE, "id": id_})
        connection.execute(insert(tables.tables["remote_findings"]), {**FINDING, "id": id_})

    if version >= "0003":
        await on_connection(empty_database_url, add_remote)
    opened = await open_store(empty_database_url)
    try:
        async with opened.reading() as tx:
            assert (await tx.networks.get(before.network)).name == "office"
            assert {peer.name for peer in await tx.peers.of_network(before.network)} == set(before.peers)
            assert [remote.domain for remote in await tx.remotes.all()] == (["b.example"] if version >= "0003" else [])
            assert [found.subject for found in await tx.findings.page(10)] == ([""] if version >= "0003" else [])
            assert await tx.federation.get() is None
    finally:
        await opened.close()
    assert await on_connection(empty_database_url, differences) == []


async def test_the_database_of_another_program_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'photos.db'}"

    def make_photos(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE photos (id INTEGER)"))

    await on_connection(url, make_photos)
    with pytest.raises(StoreUnavailable, match="another program"):
        await open_store(url)
    assert await on_connection(url, tables_of) == {"photos"}


async def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Exception):
        """Stands for whatever ends a migration half-way."""

    def upgrade_half_way(connection: Connection) -> None:
        upgrade(connection)
        raise Interrupted

    for module in ("sqlite", "postgres"):
        monkeypatch.setattr(f"isthmus.server.adapters.db.{module}.upgrade", upgrade_half_way)
    with pytest.raises(Interrupted):
        await migrate(empty_database_url)
    assert await on_connection(empty_database_url, tables_of) == set()


def tables_of(connection: Connection) -> set[str]:
    found = MetaData()
    found.reflect(connection)
    return set(found.tables)
