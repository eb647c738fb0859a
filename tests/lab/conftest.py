"""The small lab that tests of one module share."""

from collections.abc import Iterator

import pytest

from lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab
