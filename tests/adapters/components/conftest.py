"""The component sockets on a fresh store: on SQLite unless a test asks for `BOTH_DATABASES`."""

import pytest


@pytest.fixture
def backend_name() -> str:
    return "sqlite"
