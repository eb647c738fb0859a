"""What the tests of the outward side share. They run on the loop that the Federator runs on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.federator.abroad import Ingress, a_real_authority, a_server_leaf
from tests.federator.home import Home, an_entry, at_home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
def b_authority() -> Forged:
    return a_real_authority("B's CA")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with at_home(tmp_path / "a") as home:
        yield home


@pytest.fixture
async def b(home: Home, b_authority: Forged) -> AsyncIterator[Ingress]:
    """B as it should be: published, known and answering."""
    async with Ingress(a_server_leaf(b_authority), home.authority).running() as ingress:
        home.publish("b.example", ingress)
        home.know(an_entry(b_authority), ports=[ingress.port])
        yield ingress
