"""What an entry of the allow list leaves out is refused on both sides, and what it covers goes on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.federation import Federation
from tests.federation.party import Party

RESOURCES = "POST /federation/resources/get-resource"
AS_BEFORE = {"direction": "both", "components": None, "expires_at": None}
WITHIN = 20.0


@contextmanager
def entry(party: Party, other: Party, **fields: Any) -> Iterator[None]:
    """What `party` has agreed on with `other`, for the time of the block; its Federator knows when it begins."""
    change(party, other, fields)
    try:
        yield
    finally:
        change(party, other, AS_BEFORE)
        wait_until(lambda: other.asks(party).status == 200, within=WITHIN, what="the Federator to follow")


def change(party: Party, other: Party, fields: dict[str, Any]) -> None:
    party.api.patch(f"/remotes/{other.domain}", json=fields).raise_for_status()


def follows(party: Party, other: Party) -> None:
    """Wait until the Federator of `party` refuses calls of `other`."""
    wait_until(lambda: other.asks(party).status == 403, within=WITHIN, what="the Federator to follow")


@pytest.mark.case("ADM-011")
def test_an_entry_limits_direction_components_and_time(federation: Federation) -> None:
    a, b, c = federation.parties
    resources = a.request(b, RESOURCES, body=b"{}")
    with entry(b, a, direction="out"):
        follows(b, a)
        for data in (None, resources):
            with refusing(b, "direction"):
                refused(a.asks(b, data), 403, "federation_denied")
        assert b.calls(a.domain).status == 200
    with entry(b, a, direction="in"):
        wait_until(lambda: b.calls(a.domain).status == 403, within=WITHIN, what="the Federator to follow")
        with refusing(b, "direction"):
            refused(b.calls(a.domain), 403, "target_denied")
        clean_request(a, b)
    with entry(b, a, components=["directory"]):
        with refusing(b, "component"):
            refused(a.asks(b, resources), 403, "federation_denied")
        clean_request(a, b)
        assert b.calls(a.domain).status == 200
    # Until there are other components than the directory, an entry without it stands for what is left out.
    with entry(b, a, components=[]):
        follows(b, a)
        with refusing(b, "component"):
            refused(a.asks(b), 403, "federation_denied")
        with refusing(b, "component"):
            refused(b.calls(a.domain), 403, "target_denied")
    ends = datetime.now(UTC) + timedelta(seconds=2)
    with entry(b, a, expires_at=ends.isoformat()):
        time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()))
        follows(b, a)
        for data in (None, resources):
            with refusing(b, "expired"):
                refused(a.asks(b, data), 403, "federation_denied")
        with refusing(b, "remote_expired"):
            refused(b.calls(a.domain), 403, "target_denied")
        clean_request(c, b)
    assert b.calls(a.domain).status == 200
