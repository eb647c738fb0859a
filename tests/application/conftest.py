"""The use cases, on a fresh store: on SQLite unless a test asks for `BOTH_DATABASES`."""

from pathlib import Path

import pytest

from isthmus.server.ports import Store
from tests.application.backend import Backend
from tests.stores import database_url, postgres, sqlite_template, store

__all__ = ["database_url", "postgres", "sqlite_template", "store"]


@pytest.fixture
def backend_name() -> str:
    return "sqlite"


@pytest.fixture
async def backend(store: Store, tmp_path: Path) -> Backend:
    made = Backend(store, tmp_path)
    await made.prepare()
    return made
