"""The component sockets on a fresh store: on SQLite unless a test asks for `BOTH_DATABASES`."""

import pytest

from tests.stores import database_url, postgres, sqlite_template, store

__all__ = ["database_url", "postgres", "sqlite_template", "store"]


@pytest.fixture
def backend_name() -> str:
    return "sqlite"
