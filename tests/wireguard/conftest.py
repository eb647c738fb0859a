"""A network namespace in which the tests make real WireGuard interfaces."""

from collections.abc import Iterator

import pytest

from tests.wireguard.space import Space


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    """One per module, with the interfaces `wg0` and `wg1`; a test sets the whole state that it looks at."""
    with Space() as made:
        made.interface("wg0")
        made.interface("wg1")
        yield made
