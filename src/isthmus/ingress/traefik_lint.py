"""Whether a Traefik configuration still is what the contract of the ingress asks for. What is not here has no place."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.ingress.facts import certificates_of
from isthmus.ingress.refused import FactsRefused
from isthmus.ingress.traefik import ANCHORS, DIGEST, DYNAMIC, STATIC, digest_of

SEGMENT = "[a-z][a-z0-9-]{0,62}"
HOSTS = r"\(Host\(`[a-z0-9.-]+`\)(?: \|\| Host\(`[a-z0-9.-]+`\))*\)"
RULE = re.compile(HOSTS + re.escape(f" && Method(`POST`) && PathRegexp(`^/federation/{SEGMENT}/{SEGMENT}$`)"))
STRIPPED = (
    "X-Calling-Instance", "X-Sdwan-Network", "X-Forwarded-For", "X-Ssl-Certificate", "Ssl-Client-Cert", "Client-Cert",
    "Client-Cert-Chain", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded-Client-Cert",
    "Forwarded", "X-Real-Ip", "Isthmus-Ingress-Leaf", "Isthmus-Ingress-Listener", "Isthmus-Ingress-Secret",
    "Isthmus-Ingress-Request-Id", "Isthmus-Caller-Request-Id", "Isthmus-Ingress-Presented", "Isthmus-Context",
)  # fmt: skip
BASE: Mapping[str, Any] = {
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "log": {"level": "INFO", "format": "json"},
    "providers": {"file": {"filename": "dynamic.yaml", "watch": True}},
}
ENTRY_POINT: Mapping[str, Any] = {
    "http": {"maxHeaderBytes": 16_384, "sanitizePath": False},
    "forwardedHeaders": {"insecure": False, "trustedIPs": []},
    "transport": {
        "respondingTimeouts": {"readTimeout": "10s", "writeTimeout": "30s", "idleTimeout": "60s"},
        "lifeCycle": {"requestAcceptGraceTimeout": "0s", "graceTimeOut": "5s"},
    },
}
OPTIONS: Mapping[str, Any] = {
    "default": {
        "minVersion": "VersionTLS13",
        "clientAuth": {"caFiles": ["anchors.pem"], "clientAuthType": "RequireAndVerifyClientCert"},
        "sniStrict": True,
        "alpnProtocols": ["http/1.1"],
        "disableSessionTickets": True,
    }
}
SERVICE: Mapping[str, Any] = {
    "isthmus-federator": {
        "loadBalancer": {
            "servers": [{"url": "http://127.0.0.1:7790"}],
            "passHostHeader": False,
            "serversTransport": "isthmus-federator",
        }
    }
}
TRANSPORT: Mapping[str, Any] = {
    "isthmus-federator": {
        "forwardingTimeouts": {"dialTimeout": "2s", "responseHeaderTimeout": "15s"},
        "disableHTTP2": True,
    }
}
CONNECTIONS: Mapping[str, Any] = {"inFlightReq": {"amount": 64, "sourceCriterion": {"ipStrategy": {"depth": 0}}}}


def lint(files: Mapping[str, str]) -> list[str]:
    """What is wrong with a configuration, by file name; an empty list if nothing is."""
    missing = [name for name in (STATIC, DYNAMIC, ANCHORS, DIGEST) if name not in files]
    if missing:
        return [f"{name} is missing" for name in missing]
    try:
        static, dynamic = json.loads(files[STATIC]), json.loads(files[DYNAMIC])
        return [*_static(static), *_dynamic(static, dynamic), *_beside(files)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return [f"{STATIC} or {DYNAMIC} is not as it was rendered: {type(error).__name__} {error}"]


def _beside(files: Mapping[str, str]) -> Iterator[str]:
    try:
        certificates_of(files[ANCHORS], ANCHORS)
    except FactsRefused as refused:
        yield str(refused)
    if digest_of(dict(files)) != files[DIGEST].strip():
        yield f"{DIGEST}: it is not that of the files: one of them was changed by hand"


def _same(where: str, found: Any, wanted: Any) -> Iterator[str]:
    """Each place in which two documents differ."""
    if isinstance(found, dict) and isinstance(wanted, Mapping):
        for key in sorted(found.keys() | wanted.keys()):
            if key not in found:
                yield f"{where}.{key} is missing"
            elif key not in wanted:
                yield f"{where}.{key} has no place here"
            else:
                yield from _same(f"{where}.{key}", found[key], wanted[key])
    elif found != wanted or type(found) is not type(wanted):
        yield f"{where} is {found!r}, not {wanted!r}"


def _static(static: dict[str, Any]) -> Iterator[str]:
    points = static["entryPoints"]
    yield from _same(STATIC, {key: value for key, value in static.items() if key != "entryPoints"}, BASE)
    if not points:
        yield f"{STATIC}.entryPoints is empty"
    for name, point in points.items():
        address = point.get("address", "")
        if not re.fullmatch(r"(\[[0-9a-f:]+\]|[0-9.]+):\d{1,5}", address):
            yield f"{STATIC}.entryPoints.{name}.address is {address!r}, no address and port"
        rest = {key: value for key, value in point.items() if key != "address"}
        yield from _same(f"{STATIC}.entryPoints.{name}", rest, ENTRY_POINT)


def _dynamic(static: dict[str, Any], dynamic: dict[str, Any]) -> Iterator[str]:
    listeners = set(static["entryPoints"])
    http, tls = dynamic["http"], dynamic["tls"]
    yield from _same(DYNAMIC, sorted(dynamic), ["http", "tls"])
    yield from _same(f"{DYNAMIC}.http", sorted(http), ["middlewares", "routers", "serversTransports", "services"])
    yield from _same(f"{DYNAMIC}.tls", sorted(tls), ["certificates", "options"])
    yield from _same(f"{DYNAMIC}.tls.options", tls["options"], OPTIONS)
    yield from _same(f"{DYNAMIC}.http.services", http["services"], SERVICE)
    yield from _same(f"{DYNAMIC}.http.serversTransports", http["serversTransports"], TRANSPORT)
    for each in tls["certificates"] or [{}]:
        yield from _same(f"{DYNAMIC}.tls.certificates", sorted(each), ["certFile", "keyFile"])
    yield from _same(f"{DYNAMIC}.http.routers", sorted(http["routers"]), sorted(listeners))
    for name, router in http["routers"].items():
        yield from _router(name, router)
    yield from _middlewares(http["middlewares"], listeners)


def _router(name: str, router: dict[str, Any]) -> Iterator[str]:
    where = f"{DYNAMIC}.http.routers.{name}"
    if not RULE.fullmatch(router.get("rule", "")):
        yield f"{where}.rule is not the strict one"
    wanted = {
        "entryPoints": [name],
        "middlewares": ["strip", "connections", "body", "leaf", f"facts-{name}"],
        "service": "isthmus-federator",
        "tls": {"options": "default"},
    }
    yield from _same(where, {key: value for key, value in router.items() if key != "rule"}, wanted)


def _middlewares(found: dict[str, Any], listeners: set[str]) -> Iterator[str]:
    where = f"{DYNAMIC}.http.middlewares"
    names = ["strip", "connections", "body", "leaf", *(f"facts-{name}" for name in listeners)]
    yield from _same(where, sorted(found), sorted(names))
    yield from _same(f"{where}.connections", found["connections"], CONNECTIONS)
    yield from _same(f"{where}.leaf", found["leaf"], {"passTLSClientCert": {"pem": True}})
    most = found["body"]["buffering"].get("maxRequestBodyBytes")
    if not (isinstance(most, int) and 1024 <= most <= 16 * 1024 * 1024):
        yield f"{where}.body: bodies have no bound"
    bounds = {"maxRequestBodyBytes": most, "memRequestBodyBytes": most}
    yield from _same(f"{where}.body", found["body"], {"buffering": bounds})
    stripped = found["strip"]["headers"]["customRequestHeaders"]
    yield from _same(
        f"{where}.strip", found["strip"], {"headers": {"customRequestHeaders": dict.fromkeys(stripped, "")}}
    )
    yield from (f"{where}.strip: {name} is not removed" for name in STRIPPED if name not in stripped)
    for name in listeners:
        headers = found[f"facts-{name}"]["headers"]["customRequestHeaders"]
        constants = {
            "Isthmus-Ingress-Listener": name,
            "Isthmus-Ingress-Secret": headers.get("Isthmus-Ingress-Secret") or "a secret",
            "X-Sdwan-Network": headers.get("X-Sdwan-Network") or "a network",
        }
        yield from _same(
            f"{where}.facts-{name}", found[f"facts-{name}"], {"headers": {"customRequestHeaders": constants}}
        )
