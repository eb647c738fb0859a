"""The machine of the database, as the Federator must know it to keep away from it."""

import pytest

from isthmus.server.adapters.db.hosts import hosts_of

URLS = {
    "sqlite:////var/lib/isthmus/isthmus.db": (),
    "postgresql://isthmus@192.0.2.5:5432/isthmus": ("192.0.2.5",),
    "postgresql://isthmus@[2001:db8::5]/isthmus": ("2001:db8::5",),
    "postgresql:///isthmus?host=/run/postgresql": (),
    "postgresql://isthmus@nowhere.invalid/isthmus": (),
}


@pytest.mark.parametrize("url", URLS)
def test_addresses_are_those_of_the_url(url: str) -> None:
    assert hosts_of(url) == URLS[url]
