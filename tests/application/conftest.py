"""The use cases, on a fresh store: on SQLite unless a test asks for `BOTH_DATABASES`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.server.adapters.db import open_store
from isthmus.server.ports import Store
from tests.application.backend import Backend
from tests.application.granting import PLANT, Owner, a_bridge
from tests.application.pair import Side, Wire


@pytest.fixture
def backend_name() -> str:
    return "sqlite"


@pytest.fixture
async def backend(store: Store, tmp_path: Path) -> Backend:
    made = Backend(store, tmp_path)
    await made.prepare()
    return made


@pytest.fixture
async def pair(store: Store, tmp_path: Path) -> AsyncIterator[tuple[Side, Side]]:
    """Backends a.example, on the store of the test, and b.example; both are set up and know nothing of each other."""
    wire = Wire()
    other = await open_store(f"sqlite:///{tmp_path / 'b.db'}")
    a, b = Side("a.example", store, tmp_path / "a", wire), Side("b.example", other, tmp_path / "b", wire)
    await a.set_up()
    await b.set_up()
    federators = [asyncio.create_task(side.following()) for side in (a, b)]
    yield a, b
    for task in federators:
        task.cancel()
    await asyncio.gather(*federators, return_exceptions=True)
    await other.close()


@pytest.fixture
async def owner(store: Store, database_url: str, tmp_path: Path) -> Owner:
    """A, which owns what it grants, with bridges of two of its networks to B."""
    made = Owner(Side("a.example", store, tmp_path / "a", Wire()), database_url)
    await made.prepare()
    async with store.transaction() as tx:
        await tx.bridges.add(a_bridge(2, network_id=PLANT.id))
    return made
