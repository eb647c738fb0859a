"""Checks of single cases of the catalogue, apart from their tests: with a weakness planted they must fail."""

from typing import Any
from uuid import uuid4

from isthmus.protocol.federation import ORIGIN
from lab.names_server import Reply
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.federation import Federation
from tests.federation.openssl import client
from tests.federation.party import Party
from tests.federation.planting import restart_federator
from tests.x509.forge import an_authority

FORGED = ("X-Calling-Instance", "X-Sdwan-Network", "X-SSL-Certificate", "Client-Cert", "X-Forwarded-Tls-Client-Cert",
          "X-Forwarded-Client-Cert")  # fmt: skip


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
    """TLS-006, but for the incident: a leaf with A's names, issued by C's CA."""
    a, b, c = federation.parties
    with refusing(b, "chain.other_remote"):
        leaf = a.forged(c.authority)
        refused(c.asks(b, a.request(b), leaf), 403, "federation_denied")
    assert c.asks(b, a.request(b), a.forged()).status == 200


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
    """HDR-001, but for the grant and the finding: what the Federator gets is the same with them and without."""
    forged = [(name, "00000000-0000-4000-8000-000000000000") for name in FORGED]
    plain: list[object] = []
    decorated: list[object] = []
    for seen, more in ((plain, []), (decorated, forged)):
        with b.inward.watching() as passed, b.component().watching() as called:
            answer = a.asks(b, a.request(b, more=more))
        assert answer.status == 200, answer
        assert len(passed) == len(called) == 1
        seen += [answer.body, passed[0].names - {"isthmus-ingress-presented"}, called[0].names, called[0].body]
    assert plain == decorated


def encoded_paths_are_no_routes(a: Party, b: Party) -> None:
    """PATH-002."""
    for line in (
        "POST /federation/%64irectory/get-user-by-handle",
        "POST /admin/../federation/directory/get-user-by-handle",
    ):
        with refusing(b, "route_not_found"):
            refused(a.asks(b, a.request(b, line)), 404, "route_not_found")
    clean_request(a, b)


def lives(party: Party) -> dict[str, Any]:
    """The dates of an authority that is valid now."""
    leaf = party.leaf
    return {"starts": leaf.not_valid_before_utc, "ends": leaf.not_valid_after_utc}
