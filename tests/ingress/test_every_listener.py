"""Renderings with the WAN and two overlays: each single listener must strip and set, or the lint says so."""

import json
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any

import pytest

from isthmus.ingress import nginx, rendering, traefik
from isthmus.ingress.syntax import parse
from isthmus.protocol.ingress import (
    LEAF,
    LISTENER,
    NETWORK,
    SECRET,
    SOURCE,
    TRUST_HEADERS,
    IngressFacts,
    Kind,
    Listener,
)
from tests.ingress.authority import Ca
from tests.ingress.conftest import OVERLAY
from tests.ingress.test_lint import LAYOUT, with_digest
from tests.ingress.test_other_renderings import traefik_weakenings

OTHER = "0d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d11"
NETWORKS = {"wan": "wan", f"vip6-{OVERLAY}": OVERLAY, f"vip6-{OTHER}": OTHER}
ROUTE = "(Host(`infra.b.example`)) && Method(`POST`) && PathRegexp(`{}`)"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> IngressFacts:
    addresses = ("192.0.2.1", "fd00:1::1", "fd00:2::1")
    listeners = [
        Listener(name, address, 8443, network)
        for (name, network), address in zip(NETWORKS.items(), addresses, strict=True)
    ]
    anchors = [Ca(tmp_path_factory.mktemp("ca"), "a").pem]
    return IngressFacts(3, ["infra.b.example"], listeners, anchors, {OVERLAY: "office", OTHER: "lab"})


@pytest.fixture(scope="module")
def config(facts: IngressFacts) -> dict[str, str]:
    return nginx.render(facts, LAYOUT)


@pytest.fixture(scope="module")
def proxy(facts: IngressFacts) -> dict[str, str]:
    return traefik.render(facts, LAYOUT)


@pytest.mark.case("SEED-123")
@pytest.mark.parametrize("kind", ["nginx", "traefik"])
def test_three_listeners_pass_the_lint(facts: IngressFacts, kind: Kind) -> None:
    assert rendering.lint(kind, rendering.render(kind, facts, LAYOUT)) == []


def calls_of(config: str) -> dict[str, dict[str, str]]:
    """The headers that each location for calls sends, by the listener that it says it is of."""
    http = next(each for each in parse(config) if each.name == "http")
    locations = [each for server in http.inside("server") for each in server.inside("location")]
    sent = [
        {each.args[0]: each.args[1] for each in location.inside("proxy_set_header")}
        for location in locations
        if location.inside("proxy_pass")
    ]
    return {headers[LISTENER]: headers for headers in sent}


def nth_replaced(text: str, before: str, after: str, number: int) -> str:
    parts = text.split(before)
    return before.join(parts[: number + 1]) + after + before.join(parts[number + 1 :])


@pytest.mark.case("SEED-123")
def test_a_listener_of_nginx_that_does_not_strip_or_set_fails(config: dict[str, str]) -> None:
    text = config[nginx.CONFIG]
    sent = calls_of(text)
    assert {name: headers[NETWORK] for name, headers in sent.items()} == NETWORKS
    passes = []
    for number, (name, headers) in enumerate(sent.items()):
        stripping = nth_replaced(text, "proxy_pass_request_headers off;", "proxy_pass_request_headers on;", number)
        tried = {"headers of callers pass": stripping}
        for header in (LEAF, SOURCE):
            line = f"proxy_set_header {header} {headers[header]};"
            tried[f"without {header}"] = nth_replaced(text, line, "", number)
            own = f"proxy_set_header {header} $http_{header.lower().replace('-', '_')};"
            tried[f"{header} of the caller"] = nth_replaced(text, line, own, number)
        for header in (LISTENER, SECRET, NETWORK):
            line = f"proxy_set_header {header} {headers[header]};"
            assert text.count(line) == 1
            tried[f"without {header}"] = text.replace(line, "")
            tried[f"{header} of the caller"] = text.replace(
                line, f"proxy_set_header {header} $http_{header.lower().replace('-', '_')};"
            )
        more = "proxy_set_header X-Calling-Instance $http_x_calling_instance; proxy_http_version 1.1;"
        tried["another header"] = nth_replaced(text, "proxy_http_version 1.1;", more, number)
        for what, weaker in tried.items():
            assert weaker != text, what
            if not rendering.lint("nginx", with_digest({**config, nginx.CONFIG: weaker})):
                passes.append(f"{name}: {what}")
    assert passes == []


Change = Callable[[dict[str, Any]], object]


def changed(files: dict[str, str], name: str, change: Change) -> dict[str, str]:
    """Files of Traefik with one of their documents changed, and a digest that fits."""
    document = json.loads(files[name])
    change(document)
    weaker = {**files, name: json.dumps(document)}
    assert json.loads(weaker[name]) != json.loads(files[name])
    return {**weaker, traefik.DIGEST: traefik.digest_of(weaker)}


def of_router(name: str, key: str, value: Any) -> Change:
    return lambda document: document["http"]["routers"][name].update({key: value})


def of_chain(name: str, chain: Callable[[list[str]], list[str]]) -> Change:
    def change(document: dict[str, Any]) -> None:
        router = document["http"]["routers"][name]
        router["middlewares"] = chain(router["middlewares"])

    return change


def of_facts(name: str, change: Callable[[dict[str, str]], object]) -> Change:
    return lambda document: change(document["http"]["middlewares"][f"facts-{name}"]["headers"]["customRequestHeaders"])


def weakenings_of(name: str, other: str) -> Iterator[tuple[str, Change]]:
    """Ways in which one listener of Traefik strips or sets less than it must."""
    yield "strips nothing", of_chain(name, lambda chain: chain[1:])
    yield "strips last", of_chain(name, lambda chain: [*chain[1:], chain[0]])
    yield "strips after the leaf", of_chain(name, lambda chain: ["leaf", *[each for each in chain if each != "leaf"]])
    yield "tells no leaf", of_chain(name, lambda chain: [each for each in chain if each != "leaf"])
    yield "tells no facts", of_chain(name, lambda chain: chain[:-1])
    yield "tells the facts of another", of_chain(name, lambda chain: [*chain[:-1], f"facts-{other}"])
    yield "is at another entry point", of_router(name, "entryPoints", [other])
    yield "is at two entry points", of_router(name, "entryPoints", [name, other])
    yield "is at every entry point", of_router(name, "entryPoints", [])
    for header in (LISTENER, SECRET, NETWORK):
        yield f"does not set {header}", of_facts(name, methodcaller("pop", header))
        yield f"empties {header}", of_facts(name, methodcaller("update", {header: ""}))
    yield "sets another header", of_facts(name, lambda headers: headers.update({"X-Calling-Instance": "x"}))
    yield "says that it is another", of_facts(name, lambda headers: headers.update({LISTENER: other}))


@pytest.mark.case("SEED-123", "SEED-126")
def test_a_listener_of_traefik_that_does_not_strip_or_set_fails(proxy: dict[str, str]) -> None:
    routers = json.loads(proxy[traefik.DYNAMIC])["http"]["routers"]
    assert [*routers] == [*NETWORKS]
    passes = []
    for name, other in zip(NETWORKS, [*NETWORKS][1:] + [*NETWORKS][:1], strict=True):
        for what, change in weakenings_of(name, other):
            if not rendering.lint("traefik", changed(proxy, traefik.DYNAMIC, change)):
                passes.append(f"{name} {what}")
    assert passes == []


@pytest.mark.case("SEED-126")
def test_traefik_verifies_by_default_passes_the_whole_certificate_and_strips_first(proxy: dict[str, str]) -> None:
    dynamic = json.loads(proxy[traefik.DYNAMIC])
    assert [*dynamic["tls"]["options"]] == ["default"]
    assert dynamic["tls"]["options"]["default"]["clientAuth"] == {
        "caFiles": [traefik.ANCHORS],
        "clientAuthType": "RequireAndVerifyClientCert",
    }
    middlewares = dynamic["http"]["middlewares"]
    # `info` would be the names of the certificate as text that somebody has to take apart again.
    assert [each["passTLSClientCert"] for each in middlewares.values() if "passTLSClientCert" in each] == [
        {"pem": True}
    ]
    stripped = middlewares["strip"]["headers"]["customRequestHeaders"]
    assert stripped == dict.fromkeys(TRUST_HEADERS, "")
    assert {each for each in TRUST_HEADERS if "Cert" in each} <= {*stripped}
    for name, router in dynamic["http"]["routers"].items():
        assert router["middlewares"].index("strip") == 0 < router["middlewares"].index("leaf")
        assert router["tls"] == {"options": "default"}, name


def of_default(**options: Any) -> Change:
    return lambda document: document["tls"]["options"]["default"].update(options)


def of_verification(kind: str) -> Change:
    return lambda document: document["tls"]["options"]["default"]["clientAuth"].update(clientAuthType=kind)


def renamed(document: dict[str, Any]) -> None:
    options = document["tls"]["options"]
    options["strict"] = options.pop("default")


def of_leaf(**options: Any) -> Change:
    return lambda document: document["http"]["middlewares"]["leaf"]["passTLSClientCert"].update(options)


def of_strip(header: str, value: str | None) -> Change:
    def change(document: dict[str, Any]) -> None:
        headers = document["http"]["middlewares"]["strip"]["headers"]["customRequestHeaders"]
        if value is None:
            del headers[header]
        else:
            headers[header] = value

    return change


INFO = {"subject": {"commonName": True}, "sans": True}
WEAKER: dict[str, Change] = {
    **{
        f"client certificates: {each}": of_verification(each)
        for each in ("NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "")
    },
    "other authorities": lambda document: document["tls"]["options"]["default"]["clientAuth"].update(
        caFiles=["all.pem"]
    ),
    "strict where a router asks for it alone": renamed,
    "a second set of options": lambda document: document["tls"]["options"].update({"lax": {}}),
    "a router with other options": of_router("wan", "tls", {"options": "lax"}),
    "a router without TLS": lambda document: document["http"]["routers"]["wan"].pop("tls"),
    "TLS 1.2": of_default(minVersion="VersionTLS12"),
    "names that nobody knows": of_default(sniStrict=False),
    "sessions that are resumed": of_default(disableSessionTickets=False),
    "parsed names": of_leaf(info=INFO),
    "parsed names alone": lambda document: document["http"]["middlewares"].update(
        leaf={"passTLSClientCert": {"info": INFO}}
    ),
    "no certificate": of_leaf(pem=False),
    **{f"{header} is left": of_strip(header, None) for header in TRUST_HEADERS},
    **{f"{header} is set": of_strip(header, "x") for header in TRUST_HEADERS},
}


@pytest.mark.case("SEED-126")
def test_every_single_weakening_of_traefik_fails(proxy: dict[str, str]) -> None:
    assert rendering.lint("traefik", proxy) == []
    passes = [
        what
        for what, change in WEAKER.items()
        if not rendering.lint("traefik", changed(proxy, traefik.DYNAMIC, change))
    ]
    # Every key and element left out or joined by another, every switch and number turned, in both files.
    tried = [*traefik_weakenings(proxy)]
    passes += [what for what, files in tried if not rendering.lint("traefik", files)]
    assert passes == []
    assert len(tried) > 250


RULES = {
    "the Host alone": "Host(`infra.b.example`)",
    "any path": "(Host(`infra.b.example`)) && Method(`POST`)",
    "a prefix": "(Host(`infra.b.example`)) && Method(`POST`) && PathPrefix(`/federation`)",
    "any method": "(Host(`infra.b.example`)) && PathRegexp(`^/federation/[a-z][a-z0-9-]{0,62}/[a-z][a-z0-9-]{0,62}$`)",
    "a choice": "Host(`infra.b.example`) || Method(`POST`)",
    "no end": ROUTE.format("^/federation/[a-z][a-z0-9-]{0,62}/[a-z][a-z0-9-]{0,62}"),
    "everything": "PathPrefix(`/`)",
}


@pytest.mark.case("SEED-131")
def test_no_rule_of_a_listener_depends_on_the_host_alone(config: dict[str, str], proxy: dict[str, str]) -> None:
    for name in NETWORKS:
        for what, rule in RULES.items():
            weaker = changed(proxy, traefik.DYNAMIC, of_router(name, "rule", rule))
            assert any(f"{name}.rule" in each for each in rendering.lint("traefik", weaker)), (name, what)
    # In nginx a listener is an address, and a call is told by the bytes of its line in one location.
    text = config[nginx.CONFIG]
    for before, after in (
        (f"location ~ '{nginx.ROUTE}' {{", "location /federation/ {"),
        (f"location ~ '{nginx.ROUTE}' {{", "location ~ '^/federation/' {"),
        (f"location ~ '{nginx.ROUTE}' {{", "location ~ '' {"),
    ):
        assert text.count(before) == len(NETWORKS)
        for number in range(len(NETWORKS)):
            lax = nth_replaced(text, before, after, number)
            assert rendering.lint("nginx", with_digest({**config, nginx.CONFIG: lax})), after
    http = next(each for each in parse(text) if each.name == "http")
    sockets = [each.args[0] for server in http.inside("server") for each in server.inside("listen")]
    assert {each for each in sockets if not each.startswith("unix:")} == {
        "192.0.2.1:8443", "[fd00:1::1]:8443", "[fd00:2::1]:8443"
    }  # fmt: skip
