"""Calls as Traefik passes them on, by the headers that its published middleware and our rendering of it set."""

import json
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from isthmus.federator.traefik import OF_NGINX
from isthmus.ingress import traefik
from isthmus.ingress.layout import Layout
from isthmus.protocol import ingress
from isthmus.protocol.ingress import IngressFacts, Listener, listener_secret
from tests.federator.organisations import Organisation
from tests.federator.stage import BODY, LOOKUP, SOURCE, Answer, Stage, exchange
from tests.x509.forge import Forged

LEAF = "X-Forwarded-Tls-Client-Cert"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("traefik"), {"ingress": "traefik"})
    stage.start()
    yield stage
    stage.stop()


def one(leaf: Forged) -> str:
    return b64encode(leaf.der).decode()


def passed_on(stage: Stage, caller: Organisation, **changed: str | None) -> Answer:
    """A clean call of `caller`; `changed` by header names with `_` for `-`."""
    headers = stage.headers(caller)
    for name in (ingress.LEAF, ingress.INGRESS_REQUEST_ID):
        del headers[name]
    headers |= {
        LEAF: one(caller.leaf),
        "X-Forwarded-Host": "infra.b.example:8443",
        "X-Forwarded-Port": "8443",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Server": "front",
        "User-Agent": "somebody",
        "Accept-Encoding": "gzip",
        "X-Request-Id": "theirs-1",
    }
    given = {name.replace("_", "-"): value for name, value in changed.items()}
    kept = {name: value for name, value in headers.items() if name not in given}
    sent = kept | {name: value for name, value in given.items() if value is not None}
    with stage.connection() as connection:
        return exchange(connection, sent, LOOKUP, BODY, "POST")


def test_a_call_is_admitted_with_what_traefik_says_of_it(stage: Stage) -> None:
    answer = passed_on(stage, stage.a)
    assert answer.status == 200, answer
    context = stage.around.components["directory"].calls[-1].context
    assert (context.remote, context.network, context.source) == (stage.a.domain, "wan", SOURCE)
    assert (context.caller_request_id, context.leaf) == ("theirs-1", sha256(stage.a.leaf.der).hexdigest())
    assert context.request_id == answer.request_id


@pytest.mark.parametrize("which", ["two", "pem", "nothing", "garbage", "spaces"])
def test_exactly_one_certificate_counts(stage: Stage, which: str) -> None:
    leaf = one(stage.a.leaf)
    values = {
        "two": f"{leaf},{one(stage.a.ca)}",
        "pem": stage.a.leaf.pem.decode().replace("\n", ""),
        "nothing": "",
        "garbage": leaf[:-8],
        "spaces": leaf[:64] + " " + leaf[64:],
    }
    answer = passed_on(stage, stage.a, X_Forwarded_Tls_Client_Cert=values[which])
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert stage.row(answer).reason == "leaf"


def test_without_a_certificate_nobody_calls(stage: Stage) -> None:
    answer = passed_on(stage, stage.a, X_Forwarded_Tls_Client_Cert=None)
    assert answer.code == "client_certificate_required"


@pytest.mark.parametrize(
    "name", [ingress.LEAF, ingress.INGRESS_REQUEST_ID, ingress.CALLER_REQUEST_ID, ingress.PRESENTED, "X-Real-Ip"]
)
def test_what_only_nginx_says_is_not_taken_from_traefik(stage: Stage, name: str) -> None:
    value = stage.headers(stage.a).get(name, "x")
    answer = passed_on(stage, stage.a, **{name.replace("-", "_"): value})
    assert (answer.status, answer.code) == (400, "trust_header_conflict")


def test_what_our_rendering_of_traefik_sets_is_what_counts(stage: Stage) -> None:
    facts = IngressFacts(1, [stage.b.infra], [Listener("wan", "192.0.2.1", 8443)], [stage.a.ca.pem.decode()])
    layout = Layout.of(stage.places, lambda listener: listener_secret(stage.listener_key, listener))
    middlewares = json.loads(traefik.render(facts, layout)[traefik.DYNAMIC])["http"]["middlewares"]
    said = middlewares["facts-wan"]["headers"]["customRequestHeaders"]
    removed = {name.lower() for name in middlewares["strip"]["headers"]["customRequestHeaders"]}
    assert removed >= {name.decode() for name in OF_NGINX} | {"x-real-ip", "x-forwarded-for", LEAF.lower()}
    answer = passed_on(stage, stage.a, **{name.replace("-", "_"): value for name, value in said.items()})
    assert answer.status == 200, answer
    context = stage.around.components["directory"].calls[-1].context
    assert (context.listener, context.network) == ("wan", "wan")


def test_the_listeners_secret_is_asked_for_first(stage: Stage) -> None:
    answer = passed_on(stage, stage.a, Isthmus_Ingress_Secret="wrong")
    assert answer.code == "ingress_untrusted"


def test_a_leaf_of_another_remote_is_refused_as_ever(stage: Stage) -> None:
    answer = passed_on(stage, stage.a, X_Forwarded_Tls_Client_Cert=one(stage.c.leaf))
    assert answer.code == "federation_denied"
    assert stage.row(answer).reason == "chain.other_remote"


NETWORKS = {
    "wan": "wan",
    "vip6-office": "8d7c1a52-7f65-4d43-9c1c-0b7f7f4f2c11",
    "vip6-lab": "0d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d11",
}
ADDRESSES = ("192.0.2.1", "fd00:1::1", "fd00:2::1")


def through(dynamic: Any, listener: str, said: dict[str, str], caller: Organisation) -> dict[str, str]:
    """The headers that arrive where `said` came in at one entry point, as the published reference has its router's
    middlewares, in their order: an empty value of `headers` removes, `passTLSClientCert` sets the certificate. That no
    proxy before is trusted makes the source the address of the socket."""
    headers = {name.lower(): value for name, value in said.items()}
    (router,) = (each for each in dynamic["http"]["routers"].values() if each["entryPoints"] == [listener])
    for name in router["middlewares"]:
        middleware = dynamic["http"]["middlewares"][name]
        if middleware.get("passTLSClientCert") == {"pem": True}:
            headers[LEAF.lower()] = one(caller.leaf)
        for header, value in middleware.get("headers", {}).get("customRequestHeaders", {}).items():
            headers[header.lower()] = value
        headers = {name: value for name, value in headers.items() if value}
    return headers | {ingress.SOURCE.lower(): SOURCE}


@pytest.mark.case("SEED-123")
@pytest.mark.parametrize("listener", NETWORKS)
def test_each_listener_of_our_rendering_tells_what_it_proves_and_no_copy_of_the_callers(
    stage: Stage, listener: str
) -> None:
    stage.relist(stage.a.entry(), stage.c.entry(), listeners=NETWORKS)
    listeners = [
        Listener(name, address, 8443, network)
        for (name, network), address in zip(NETWORKS.items(), ADDRESSES, strict=True)
    ]
    named = {network: name for name, network in NETWORKS.items() if name != "wan"}
    facts = IngressFacts(1, [stage.b.infra], listeners, [stage.a.ca.pem.decode()], named)
    layout = Layout.of(stage.places, lambda name: listener_secret(stage.listener_key, name))
    dynamic = json.loads(traefik.render(facts, layout)[traefik.DYNAMIC])
    proven = {ingress.LEAF, ingress.LISTENER, ingress.SECRET, ingress.NETWORK, ingress.SOURCE}
    own = {name: value for name, value in stage.headers(stage.a).items() if name not in proven}
    del own[ingress.INGRESS_REQUEST_ID]
    for forged in ({}, dict.fromkeys(ingress.TRUST_HEADERS, "f0f0f0f0-0000-4000-8000-000000000000")):
        with stage.connection() as connection:
            arrived = through(dynamic, listener, {**own, **forged}, stage.a)
            answer = exchange(connection, arrived, LOOKUP, BODY, "POST")
        assert answer.status == 200, answer
        seen = stage.around.components["directory"].calls[-1].headers
        told = {name: seen[name.lower()] for name in (ingress.INSTANCE, ingress.NETWORK, ingress.SOURCE)}
        assert told == {
            ingress.INSTANCE: str(stage.a.instance),
            ingress.NETWORK: NETWORKS[listener],
            ingress.SOURCE: SOURCE,
        }
        assert "f0f0f0f0" not in str(seen)
