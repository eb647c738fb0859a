"""Checks of single cases of the catalogue, apart from their tests: with a weakness planted they must fail."""

from functools import partial
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.hashes import SHA256

from isthmus.protocol import ingress
from isthmus.protocol.federation import API_VERSION, ORIGIN, REQUEST_ID
from lab.names_server import Reply
from lab.waiting import wait_until
from tests.federation.behind import behind
from tests.federation.checks import (
    clean_request,
    no_denial,
    no_state_change,
    one_audit_row,
    refused,
    refusing,
    refusing_each,
)
from tests.federation.federation import Federation
from tests.federation.openssl import client
from tests.federation.party import Party, Row, over_socket
from tests.federation.planting import restart_federator
from tests.federation.wire import request
from tests.x509.forge import an_authority

FORGED = ("X-Calling-Instance", "X-Sdwan-Network", "X-SSL-Certificate", "Client-Cert", "X-Forwarded-Tls-Client-Cert",
          "X-Forwarded-Client-Cert")  # fmt: skip
ALICE = b'{"handle":"alice"}'
PROVEN = (ingress.LEAF, ingress.LISTENER, ingress.NETWORK, ingress.SOURCE, ORIGIN)
TOLD = (ingress.INSTANCE, ingress.NETWORK, ingress.SOURCE, ORIGIN, API_VERSION)


def no_certificate_is_refused(a: Party, b: Party) -> None:
    """SEED-012."""
    with refusing(b, "client_certificate_required", by_ingress=True):
        refused(a.asks(b, credential=None), 401, "client_certificate_required")
    clean_request(a, b)


def foreign_authority_is_refused(a: Party, b: Party) -> None:
    """SEED-009: the same leaf, issued by an authority that no remote of B has."""
    stranger = a.forged(an_authority("a stranger's CA", None, **lives(a)))
    with refusing(b, "client_certificate_rejected", by_ingress=True):
        refused(a.asks(b, credential=stranger), 403, "client_certificate_rejected")
    clean_request(a, b)


def leaf_of_another_remote_is_refused(federation: Federation) -> None:
    """SEED-014: C with its own good leaf says that it is A."""
    a, b, c = federation.parties
    with federation.names.watching() as questions, refusing(b, "chain.other_remote") as watch:
        refused(c.asks(b, c.request(b, changed={ORIGIN: a.domain})), 403, "federation_denied")
    assert watch.federator == 1
    assert federation.names.srv(a.domain) not in {question.name for question in questions}
    clean_request(c, b)


def anchors_are_not_pooled(federation: Federation) -> None:
    """TLS-006: a leaf with A's names, issued by C's CA."""
    a, b, c = federation.parties
    before = foreign_leaves_of(c, b)
    with refusing(b, "chain.other_remote"):
        leaf = a.forged(c.authority)
        refused(c.asks(b, a.request(b), leaf), 403, "federation_denied")
    wait_until(lambda: foreign_leaves_of(c, b) > before, within=10, what="the finding")
    (finding,) = findings_of(b, "foreign_authority", c.domain)
    assert finding["evidence"]["claimed"] == a.domain
    assert finding["evidence"]["leaf"] == leaf.certificate.fingerprint(SHA256()).hex()
    assert c.asks(b, a.request(b), a.forged()).status == 200


def foreign_leaves_of(caller: Party, party: Party) -> int:
    """How often `party` has noticed that the authority of `caller` vouched for somebody else."""
    return sum(each["count"] for each in findings_of(party, "foreign_authority", caller.domain))


def lying_dns_does_not_widen_the_pin(federation: Federation) -> None:
    """DNS-001 inbound: a genuine leaf of A's CA for a name that B has not pinned, and DNS says that it is A's."""
    a, b, _ = federation.parties
    names = federation.names
    question = f"{names.srv(a.domain)} SRV"
    lie = Reply([f"30 SRV 0 0 8443 dev.{a.domain}."])
    leaf = a.forged(names=(f"dev.{a.domain}",), uris=(a.instance_uri(uuid4()),))
    try:
        with names.saying(question, lie):
            # What it has learnt before it would go by for a while.
            restart_federator(b)
            with refusing(b, "infra_unpinned"):
                refused(a.asks(b, credential=leaf), 403, "federation_denied")
    finally:
        restart_federator(b)
    clean_request(a, b)


def sessions_are_not_resumed(a: Party, b: Party) -> None:
    """TLS-009 on the federation listener: a session that was saved is of no use without the certificate."""
    asking = a.request(b, more=[("Connection", "close")])
    with client(a, b) as whole:
        saved = f"{whole.folder}/session"
        assert whole.talk(asking, "-sess_out", saved).answer.startswith("HTTP/1.1 200")
        with refusing(b, "client_certificate_required", by_ingress=True):
            again = whole.without_certificate().talk(asking, "-sess_in", saved)
            assert not again.is_resumed
            assert again.answer.startswith("HTTP/1.1 401"), again
    clean_request(a, b)


def forged_trust_headers_change_nothing(a: Party, b: Party) -> None:
    """HDR-001, but for the grant: what is passed on, decided, answered and recorded is the same with them and without,
    and the finding names who sent them."""
    forged = [(name, "00000000-0000-4000-8000-000000000000") for name in FORGED]
    for status, body, origin in (
        (200, b'{"handle":"alice"}', a.domain),
        (404, b'{"handle":"hidden"}', a.domain),
        (403, b'{"handle":"alice"}', "d.example"),
    ):
        before = presented_by(a, b)
        plain = what_becomes_of(a, b, a.request(b, body=body, changed={ORIGIN: origin}))
        assert presented_by(a, b) == before
        decorated = what_becomes_of(a, b, a.request(b, body=body, changed={ORIGIN: origin}, more=forged))
        assert plain == decorated
        assert plain["status"] == status
        # One that is not proven to be of A is no news of A.
        if origin == a.domain:
            wait_until(partial(has_presented, a, b, before), within=10, what="the finding")
        else:
            assert presented_by(a, b) == before
    (finding,) = findings_of(b, "trust_header_presented", a.domain)
    assert set(finding["evidence"]["headers"].lower().split(",")) == {name.lower() for name in FORGED}


def findings_of(party: Party, kind: str, domain: str) -> list[Any]:
    items = party.api.get("/findings", params={"limit": 1000}).raise_for_status().json()["items"]
    return [each for each in items if (each["kind"], each["domain"]) == (kind, domain)]


def presented_by(caller: Party, party: Party) -> int:
    """How often `party` has noticed trust headers of `caller`."""
    return sum(each["count"] for each in findings_of(party, "trust_header_presented", caller.domain))


def has_presented(caller: Party, party: Party, before: int) -> bool:
    return presented_by(caller, party) > before


def what_becomes_of(caller: Party, party: Party, data: bytes) -> dict[str, Any]:
    """What the ingress passes on, what the component gets, what is answered and what is recorded, but for ids."""
    before = party.last_row()
    with party.inward.watching() as passed, party.component().watching() as called:
        answer = caller.asks(party, data)
    request_id = answer.header(REQUEST_ID)
    rows: list[Row] = []

    def is_recorded() -> bool:
        rows[:] = [row for row in party.audit(before) if row["request_id"] == request_id]
        return bool(rows)

    # A call that is granted and changes nothing has no row.
    if answer.status != 200:
        wait_until(is_recorded, within=10, what="the row of the call")
    own = {"trust_headers"}
    return {
        "status": answer.status,
        "answer": answer.body.replace(request_id.encode() if request_id else b"-", b""),
        "passed on": [(each.path, each.body, each.names - {ingress.PRESENTED.lower()}) for each in passed],
        "proven": [[each.header(name) for name in PROVEN] for each in passed],
        "called": [(each.path, each.body, each.names) for each in called],
        "told": [[each.header(name) for name in TOLD] for each in called],
        "recorded": [
            [row[name] for name in ("actor", "action", "subject", "outcome", "reason")]
            + [{name: value for name, value in row["facts"].items() if name not in own}]
            for row in rows
        ],
    }


def encoded_paths_are_no_routes(a: Party, b: Party) -> None:
    """PATH-002, at the ingress and, as if that had let them pass, at the Federator."""
    federator = behind(a, b)
    lines = (
        "POST /federation/%64irectory/get-user-by-handle",
        "POST /admin/../federation/directory/get-user-by-handle",
    )
    with refusing_each(b) as refuse:
        for line in lines:
            refuse(a.asks(b, a.request(b, line)), 404, "route_not_found")
    assert refuse.passed_on == 0
    with refusing_each(b, beside_the_ingress=True) as refuse:
        for line in lines:
            refuse(federator.asks(federator.request(line)), 404, "route_not_found", "route.path")
    assert federator.asks().status == 200
    clean_request(a, b)


def plain_headers_prove_nothing(a: Party, b: Party) -> None:
    """HDR-008: at a component whoever has no signed context is nobody, whatever else is said."""
    plain = [
        ("Host", "component"),
        ("Content-Type", "application/json"),
        ("Isthmus-Origin-Domain", a.domain),
        ("Isthmus-Api-Version", "0"),
        ("X-Calling-Instance", "0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b"),
        ("X-Sdwan-Network", "wan"),
        ("X-Forwarded-For", "192.0.2.7"),
    ]
    with no_state_change(b), one_audit_row(b, "context.missing") as watch:
        answer = over_socket(
            b.component().path, request("POST", "/federation/get-user-by-handle", headers=plain, body=ALICE)
        )
        refused(answer, 401, "context_invalid")
    assert watch.row["actor"] == "anyone"
    with no_denial(b):
        clean_request(a, b)


def lives(party: Party) -> dict[str, Any]:
    """The dates of an authority that is valid now."""
    leaf = party.leaf
    return {"starts": leaf.not_valid_before_utc, "ends": leaf.not_valid_after_utc}
