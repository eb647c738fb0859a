"""The facts of a call at each listener of an ingress: the WAN's, and those inside two networks, by real tunnels."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509

from isthmus.protocol import ingress
from isthmus.protocol.federation import ORIGIN
from isthmus.protocol.ingress import listener_secret
from lab.organisation import PORT
from lab.waiting import wait_until
from tests.federation.behind import Behind, behind
from tests.federation.checks import no_state_change, one_audit_row, refused, refusing_each, until_quiet
from tests.federation.overlays import Overlay, two_overlays
from tests.federation.party import Party, Row
from tests.federation.wire import Answer

OK = 200
WITHIN = 10.0
FORGED = "f0f0f0f0-0000-4000-8000-000000000000"
ELSEWHERE = ("/", "/index.html", "/api/v1/networks", "/api/v1/agent/enroll", "/metrics", "/federation",
             "/federation/", "/federationx/directory/get-user-by-handle")  # fmt: skip


@pytest.fixture(scope="module")
def overlays(federation: Any) -> Iterator[tuple[Overlay, Overlay]]:
    with two_overlays(federation.a, federation.b) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(overlays: tuple[Overlay, Overlay]) -> None:
    until_quiet(overlays[0].b)


@contextlib.contextmanager
def granted(overlay: Overlay, network: str) -> Iterator[str]:
    """The token of a grant on the network of `overlay`, for calls over `network` alone."""
    b = overlay.b
    body = {"subject": f"bob@{overlay.a.domain}", "kind": "network", "resource_id": overlay.network, "scopes": ["read"]}
    made = b.api.post("/grants", json=body | {"networks": [network]}).raise_for_status().json()
    try:
        yield made["token"]
    finally:
        b.api.post(f"/grants/{made['grant']['id']}/revoke", json={"reason": "a test"}).raise_for_status()


def row_of(party: Party, answer: Answer) -> Row:
    """The one audit row of an answered request."""
    request_id = answer.json["request_id"] if answer.status != OK else answer.header("X-Request-Id")
    found: list[Row] = []

    def is_there() -> bool:
        found[:] = [row for row in party.audit(party.last_row() - 200) if row["request_id"] == request_id]
        return bool(found)

    wait_until(is_there, within=WITHIN, what="the audit row")
    (row,) = found
    return row


@pytest.mark.case("SEED-129")
def test_a_call_is_judged_by_the_network_of_its_socket_whatever_it_says(overlays: tuple[Overlay, Overlay]) -> None:
    first, second = overlays
    a, b = first.a, first.b
    # To the eye it is a call over the second: its header, and its ingress's own port in the Host.
    says = [(ingress.NETWORK, second.network), ("Isthmus-Ingress-Listener", f"vip6-{second.network}")]
    host = {"Host": f"{b.infra}:{second.port}"}
    body = json.dumps({"kind": "network", "id": first.network}).encode()

    def over(arrives: Overlay, token: str) -> Answer:
        more = [*says, ("Authorization", f"Bearer {token}")]
        return arrives.asks(a.request(b, "POST /federation/resources/get", body=body, changed=host, more=more))

    with granted(first, first.network) as for_first, granted(first, second.network) as for_second:
        until_quiet(b)
        # A grant for the one network does not open the other.
        for arrives, token, allowed in ((first, for_second, second), (second, for_first, first)):
            with no_state_change(b), one_audit_row(b, "axis.network") as watch:
                told = refused(over(arrives, token), 403, "axis_denied").json
            assert (told["axis"], told["supplied"], told["allowed"]) == ("network", arrives.network, [allowed.network])
            assert watch.row["facts"]["network"] == arrives.network
        for arrives, token in ((first, for_first), (second, for_second)):
            answer = over(arrives, token)
            assert answer.status == OK, answer
            assert row_of(b, answer)["facts"]["network"] == arrives.network


@dataclass(frozen=True)
class Door:
    """One listener of B, and what it proves of a call of A's host."""

    asks: Any
    network: str
    source: str


def doors(overlays: Sequence[Overlay]) -> list[Door]:
    a, b = overlays[0].a, overlays[0].b
    wan = Door(lambda data: a.asks(b, data), ingress.WAN, str(a.site.host.ipv4))
    return [wan, *(Door(each.asks, each.network, each.source) for each in overlays)]


def instance_of(party: Party) -> str:
    names = party.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uri.rpartition("/")[2]


@pytest.mark.case("SEED-123")
def test_each_listener_tells_the_component_what_it_has_proven_and_no_copy_of_the_callers(
    overlays: tuple[Overlay, Overlay],
) -> None:
    a, b = overlays[0].a, overlays[0].b
    forged = [(name, FORGED) for name in ingress.TRUST_HEADERS]
    for door in doors(overlays):
        for more in ([], forged):
            with b.component().watching() as called, b.inward.watching() as passed:
                answer = door.asks(a.request(b, more=more))
            assert answer.status == OK, answer
            (seen,) = called
            told = {name: seen.header(name) for name in (ingress.INSTANCE, ingress.NETWORK, ingress.SOURCE, ORIGIN)}
            assert told == {
                ingress.INSTANCE: instance_of(a),
                ingress.NETWORK: door.network,
                ingress.SOURCE: door.source,
                ORIGIN: a.domain,
            }
            assert FORGED not in str([*called, *passed])


@pytest.mark.case("SEED-131")
def test_every_listener_of_the_federation_serves_calls_and_nothing_else(overlays: tuple[Overlay, Overlay]) -> None:
    a, b = overlays[0].a, overlays[0].b
    for door in doors(overlays):
        with refusing_each(b) as refuse:
            for path in ELSEWHERE:
                refuse(door.asks(a.request(b, f"POST {path}")), 404, "route_not_found")
            # No other name leads anywhere else: the name must be that of the session, and is of the federation.
            for host in ("ui.b.example", f"127.0.0.1:{PORT}"):
                for path in ("/federation/directory/get-user-by-handle", "/api/v1/networks"):
                    data = a.request(b, f"POST {path}", changed={"Host": host})
                    refuse(door.asks(data), 421, "misdirected_request")
        assert refuse.passed_on == 0
        answer = door.asks(a.request(b))
        assert (answer.status, answer.json["handle"]) == (OK, "alice")


def test_a_listener_says_what_is_refused_there(overlays: tuple[Overlay, Overlay]) -> None:
    first, _ = overlays
    answer = refused(first.asks(first.a.request(first.b, "POST /")), 404, "route_not_found")
    assert row_of(first.b, answer)["facts"]["listener"] == f"vip6-{first.network}"


@pytest.mark.case("SEED-124")
def test_facts_count_from_whoever_has_the_identity_of_that_very_listener(overlays: tuple[Overlay, Overlay]) -> None:
    """The hop is a unix socket: the kernel names the user, and each listener has a secret made with one key. Those of
    other listeners are the other certificates of the same authority."""
    first, second = overlays
    a, b = first.a, first.b
    proxy = behind(a, b)
    key = b.site.places.listener_key.read_bytes()
    here, there, nowhere = (f"vip6-{each}" for each in (first.network, second.network, uuid4()))

    def says(listener: str, secret: str | None, network: str = first.network) -> Answer:
        facts = {ingress.LISTENER: listener, ingress.SECRET: secret, ingress.NETWORK: network}
        told = {name.lower(): value for name, value in {**facts, ingress.SOURCE: first.source}.items()}
        plain = {name.lower(): value for name, value in proxy.headers} | told
        headers = tuple((name, value) for name, value in plain.items() if value is not None)
        return Behind(b, headers).asks(Behind(b, headers).request())

    with refusing_each(b, beside_the_ingress=True) as refuse:
        others = [listener_secret(key, name) for name in ("wan", there, nowhere)]
        for secret in (None, "", "0" * 64, listener_secret(os.urandom(32), here), *others):
            refuse(says(here, secret), 403, "ingress_untrusted", "listener_secret")
        # An identity that is right proves its own network alone, and none where nothing listens.
        for listener in ("wan", there, nowhere):
            answer = says(listener, listener_secret(key, listener))
            refuse(answer, 403, "ingress_untrusted", "listener_network")
    for listener, network in ((here, first.network), (there, second.network), ("wan", "wan")):
        with b.component().watching() as called:
            assert says(listener, listener_secret(key, listener), network).status == OK
        assert [each.header(ingress.NETWORK) for each in called] == [network]
