"""A remote, or an instance of it, that is proven and may not call is told why; who claims its name is not."""

import time
from uuid import uuid4

import pytest

from isthmus.protocol.federation import ORIGIN
from lab.meeting import acquaint
from lab.waiting import wait_until
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.federation import Federation
from tests.federation.party import Party

WITHIN = 20.0


def code_of(party: Party, other: Party) -> str:
    answer = party.asks(other)
    return "" if answer.status == 200 else str(answer.json["code"])


def follows(party: Party, other: Party, code: str) -> None:
    wait_until(lambda: code_of(party, other) == code, within=WITHIN, what=f"{code or 'an answer'} for {party}")
    # What is told of it has arrived, so nothing changes by itself any more.
    path = f"/remotes/{party.domain}"
    wait_until(lambda: other.api.get(path).json()["waiting"] == [], within=WITHIN, what=f"{party} to hear of it")


@pytest.mark.case("ADM-004")
def test_a_proven_remote_or_instance_that_may_not_call_is_told_so(federation: Federation) -> None:
    a, b, c = federation.parties
    claims_a = c.request(b, changed={ORIGIN: a.domain})
    b.api.post(f"/remotes/{a.domain}/suspend").raise_for_status()
    try:
        follows(a, b, "remote_suspended")
        with refusing(b, "remote_suspended"):
            refused(a.asks(b), 403, "remote_suspended")
        with refusing(b, "chain.other_remote"):
            refused(c.asks(b, claims_a), 403, "federation_denied")
    finally:
        b.api.post(f"/remotes/{a.domain}/resume").raise_for_status()
    follows(a, b, "")
    clean_request(a, b)

    path = f"/remotes/{a.domain}"
    b.api.patch(path, json={"known_instances_only": True}).raise_for_status()
    try:
        unknown = a.forged(uris=(a.instance_uri(uuid4()),))
        wait_until(lambda: a.asks(b, credential=unknown).status == 403, within=WITHIN, what="the Federator to follow")
        with refusing(b, "instance_unknown"):
            refused(a.asks(b, credential=unknown), 403, "instance_unknown")
        clean_request(a, b)
    finally:
        b.api.patch(path, json={"known_instances_only": False}).raise_for_status()

    b.api.post(f"/remotes/{c.domain}/revoke").raise_for_status()
    try:
        follows(c, b, "remote_revoked")
        with refusing(b, "remote_revoked"):
            refused(c.asks(b), 403, "remote_revoked")
        claims_c = a.request(b, changed={ORIGIN: c.domain})
        with refusing(b, "chain.other_remote"):
            refused(a.asks(b, claims_c), 403, "federation_denied")
    finally:
        c.site.await_remote(b.site, "revoked")
        acquaint(b.site, c.site)
    follows(c, b, "")
    clean_request(c, b)


# What it means for a bridge and a grant is in tests/bridging.
@pytest.mark.case("ADM-007")
def test_a_removed_remote_is_cut_on_open_sessions_and_is_a_stranger(federation: Federation) -> None:
    a, b, c = federation.parties
    path = f"/remotes/{a.domain}"
    generation = b.api.get(path).json()["generation"]
    with a.connect(b) as session, c.connect(b) as other:
        assert session.ask(a.request(b)).status == other.ask(c.request(b)).status == 200
        rows = b.last_row()
        try:
            b.api.delete(path).raise_for_status()
            time.sleep(1.0)
            refused(session.ask(a.request(b)), 403, "federation_denied")
            a.site.await_remote(b.site, "revoked")
            waiting = "SELECT count(*) FROM outbox"
            wait_until(lambda: b.rows(waiting) == [(0,)], within=WITHIN, what="the acknowledgement")
            with refusing(b, "not_listed"):
                refused(session.ask(a.request(b)), 403, "federation_denied")
            with refusing(b, "not_listed"):
                refused(a.asks(b), 403, "federation_denied")
            assert other.ask(c.request(b)).status == 200
            assert b.api.get(path).status_code == 404
            assert [row["subject"] for row in b.audit(rows) if row["action"] == "remote.remove"] == [a.domain]
        finally:
            acquaint(b.site, a.site)
    assert b.api.get(path).json()["generation"] == generation + 1
    clean_request(a, b)
    clean_request(b, a)
    clean_request(c, b)
