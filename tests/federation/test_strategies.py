"""Whom a backend federates with at all: nobody, those who are listed, or all who prove themselves. Live."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from isthmus.protocol.federation import ORIGIN
from lab.meeting import initialise, second_infra
from lab.organisation import PORT, Organisation
from lab.waiting import wait_until
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.planting import ENVIRONMENT
from tests.x509.forge import Forged, an_authority

STRANGER, INFRA = "e.example", "infra.e.example"
FOLLOW_SECONDS = 20.0


@contextmanager
def facts_of(party: Party, **changed: Any) -> Iterator[None]:
    """Other facts for the time of the block; its Federator has them when it begins."""
    before = party.api.get("/federation").json()
    party.api.patch("/federation", json=changed).raise_for_status()
    try:
        yield
    finally:
        back = {"strategy": before["strategy"], "shared_roots": ""}
        party.api.patch("/federation", json=back).raise_for_status()


@pytest.mark.case("SEED-015")
def test_with_the_strategy_none_nobody_passes_in_either_direction(federation: Federation) -> None:
    a, b = federation.a, federation.b
    with facts_of(b, strategy="none"):
        wait_until(lambda: a.asks(b).status == 403, within=FOLLOW_SECONDS, what="the Federator to follow")
        with federation.names.watching(b.site.host) as questions:
            with refusing(b, "not_listed"):
                refused(a.asks(b), 403, "federation_denied")
            with refusing(b, "not_listed"):
                refused(b.calls(a.domain), 403, "target_denied")
        assert questions == []
    wait_until(lambda: a.asks(b).status == 200, within=FOLLOW_SECONDS, what="the Federator to follow")
    clean_request(a, b)
    assert b.calls(a.domain).status == 200


@pytest.mark.case("SEED-016")
def test_who_is_listed_passes_both_ways_and_a_change_of_the_list_needs_no_restart(federation: Federation) -> None:
    a, b = federation.a, federation.b
    with a_newcomer(federation) as s, facts_of(b, shared_roots=s.authority.pem.decode()):
        knocked = "federation_denied"
        wait_until(lambda: s.asks(b).json["code"] == knocked, within=FOLLOW_SECONDS, what="the ingress to follow")
        with refusing(b, "not_listed"):
            refused(s.asks(b), 403, "federation_denied")
        with refusing(b, "not_listed"):
            refused(b.calls(s.domain), 403, "target_denied")
        clean_request(a, b)
        assert b.calls(a.domain).status == 200
        before = b.site.pid("federator")
        listed = {"domain": s.domain, "infra_domains": [s.infra]}
        b.api.post("/remotes", json=listed).raise_for_status()
        wait_until(lambda: s.asks(b).status == 200, within=FOLLOW_SECONDS, what="the Federator to follow")
        clean_request(s, b)
        wait_until(lambda: b.calls(s.domain).status == 200, within=FOLLOW_SECONDS, what="the other direction")
        assert b.site.pid("federator") == before
        b.api.post(f"/remotes/{s.domain}/revoke").raise_for_status()


@contextmanager
def a_newcomer(federation: Federation) -> Iterator[Party]:
    """A fourth organisation, which lists B and which nobody lists."""
    b = federation.b
    with Organisation(federation.names, "s", env=ENVIRONMENT) as site:
        initialise(site, second_infra(site))
        site.publish()
        site.await_ingress()
        party = Party(site)
        party.populate()
        party.api.patch("/federation", json={"shared_roots": b.authority.pem.decode()}).raise_for_status()
        party.api.post("/remotes", json={"domain": b.domain, "infra_domains": [b.infra]}).raise_for_status()
        try:
            yield party
        finally:
            site.stop()


def stranger_asks(host: Party, party: Party, issuer: Forged) -> Any:
    """A call that claims to come from a backend without an entry, with a leaf for its names by `issuer`."""
    leaf = host.forged(issuer, names=(INFRA,), uris=(f"spiffe://{STRANGER}/instance/{uuid4()}",))
    return host.asks(party, host.request(party, changed={ORIGIN: STRANGER}), leaf)


@pytest.mark.case("SEED-017")
def test_with_the_strategy_all_whoever_the_shared_root_vouches_for_passes(federation: Federation) -> None:
    b, c = federation.b, federation.c
    now = datetime.now(UTC)
    root = an_authority("the root", starts=now - timedelta(days=1), ends=now + timedelta(days=300))
    federation.names.publish(STRANGER, INFRA, [c.site.host.ipv4], PORT)
    try:
        with facts_of(b, strategy="all", shared_roots=root.pem.decode()):
            wait_until(
                lambda: stranger_asks(c, b, root).status == 200, within=FOLLOW_SECONDS, what="the ingress to follow"
            )
            # Its issuer is one that the ingress lets through: the CA of a remote that is listed.
            with refusing(b, "chain.other_remote"):
                refused(stranger_asks(c, b, c.authority), 403, "federation_denied")
            answer = stranger_asks(c, b, root)
            assert (answer.status, answer.json["handle"]) == (200, "alice")
            assert b.api.get(f"/remotes/{STRANGER}").status_code == 404
    finally:
        for question in (f"{federation.names.srv(STRANGER)} SRV", f"{INFRA} A"):
            federation.names.forget(question)
    wait_until(lambda: stranger_asks(c, b, root).status == 403, within=FOLLOW_SECONDS, what="the ingress to follow")
    clean_request(c, b)
