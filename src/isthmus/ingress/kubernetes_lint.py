"""Whether the objects for a cluster still are what the contract of the ingress asks for."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.domain.federation.names import is_domain
from isthmus.ingress.facts import DEEPEST_CHAIN, certificates_of
from isthmus.ingress.kubernetes import DIGEST, MANIFEST, digest_of
from isthmus.ingress.nginx_errors import error_locations, error_pages
from isthmus.ingress.nginx_lint import (
    CALL,
    CALLS,
    LIMITS,
    ROUTE,
    Want,
    check_block,
    check_call,
    check_no_call,
    differences,
    pairs_of,
)
from isthmus.ingress.nginx_maps import maps
from isthmus.ingress.refused import FactsRefused
from isthmus.ingress.syntax import Directive, SyntaxBroken, parse

PREFIX = "nginx.ingress.kubernetes.io"
DATA: Mapping[str, str] = {
    "ssl-protocols": "TLSv1.3",
    "ssl-session-cache": "false",
    "ssl-session-tickets": "false",
    "ssl-early-data": "false",
    "ssl-reject-handshake": "true",
    "use-http2": "false",
    "server-tokens": "false",
    "hsts": "false",
    "enable-underscores-in-headers": "false",
    "ignore-invalid-headers": "true",
    "client-header-timeout": "10",
    "client-body-timeout": "10",
    "client-header-buffer-size": "1k",
    "large-client-header-buffers": "2 8k",
    "keep-alive": "60",
    "use-forwarded-headers": "false",
    "compute-full-forwarded-for": "false",
    "use-proxy-protocol": "false",
    "enable-real-ip": "false",
    "allow-snippet-annotations": "true",
    "annotations-risk-level": "Critical",
    "limit-conn-status-code": "429",
    "worker-shutdown-timeout": "5s",
    "variables-hash-max-size": "4096",
}
ANNOTATIONS: Mapping[str, str] = {
    f"{PREFIX}/auth-tls-verify-client": "on",
    f"{PREFIX}/auth-tls-secret": "isthmus/isthmus-ingress-anchors",
    f"{PREFIX}/auth-tls-pass-certificate-to-upstream": "false",
    f"{PREFIX}/ssl-redirect": "false",
}
DEPTH, SNIPPET = f"{PREFIX}/auth-tls-verify-depth", f"{PREFIX}/server-snippet"


def _bytes(args: tuple[str, ...]) -> bool:
    return len(args) == 1 and args[0].isdecimal() and 1024 <= int(args[0]) <= 16 * 1024 * 1024


SERVER: Mapping[str, Want] = {
    "merge_slashes": ("off",),
    "client_max_body_size": _bytes,
    "client_body_buffer_size": _bytes,
    "send_timeout": ("10s",),
    "default_type": ("application/problem+json",),
}
HERE: Mapping[str, Want] = {**CALL, "proxy_pass": ("http://isthmus-federator.isthmus.svc.cluster.local:7790",)}


def lint(files: Mapping[str, str]) -> list[str]:
    """What is wrong with the objects; an empty list if nothing is."""
    if MANIFEST not in files or DIGEST not in files:
        return [f"{MANIFEST} or {DIGEST} is missing"]
    try:
        return list(_manifest(files))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return [f"{MANIFEST} is not as it was rendered: {type(error).__name__} {error}"]


def _manifest(files: Mapping[str, str]) -> Iterator[str]:
    if digest_of(files[MANIFEST]) != files[DIGEST].strip():
        yield f"{DIGEST}: it is not that of {MANIFEST}, which was changed by hand"
    document = json.loads(files[MANIFEST])
    items = document.pop("items")
    if document != {"apiVersion": "v1", "kind": "List"}:
        yield f"{MANIFEST}: it is no list"
    heads = [
        (each["apiVersion"], each["kind"], each["metadata"]["name"], each["metadata"]["namespace"]) for each in items
    ]
    wanted = [
        ("v1", "ConfigMap", "isthmus-ingress-controller", "isthmus"),
        ("v1", "Secret", "isthmus-ingress-anchors", "isthmus"),
        ("networking.k8s.io/v1", "Ingress", "isthmus-ingress", "isthmus"),
    ]
    yield from differences(MANIFEST, heads, wanted)
    controller, anchors, ingress = items
    yield from _keys("ConfigMap", controller, {"apiVersion", "kind", "metadata", "data"})
    yield from _keys("Secret", anchors, {"apiVersion", "kind", "metadata", "type", "stringData"})
    yield from _keys("Ingress", ingress, {"apiVersion", "kind", "metadata", "spec"})
    for what, each in (("ConfigMap", controller), ("Secret", anchors)):
        yield from _keys(what, each["metadata"], {"name", "namespace"})
    yield from _controller(controller["data"])
    yield from _anchors(anchors)
    yield from _annotations(ingress["metadata"])
    yield from _spec(ingress["spec"])


def _keys(what: str, found: Mapping[str, Any], wanted: set[str]) -> Iterator[str]:
    for name in sorted(found.keys() ^ wanted):
        yield f"{what}: {name} {'has no place here' if name in found else 'is missing'}"


def _table(what: str, found: Mapping[str, Any], wanted: Mapping[str, str]) -> Iterator[str]:
    yield from _keys(what, found, set(wanted))
    for name, value in wanted.items():
        if name in found and found[name] != value:
            yield f"{what}: {name} is {found[name]!r}, not {value!r}"


def _controller(data: dict[str, Any]) -> Iterator[str]:
    snippet = data.pop("http-snippet")
    yield from _table("ConfigMap", data, DATA)
    http = Directive("http", (), _parsed("http-snippet", snippet))
    yield from check_block("http-snippet", http.block or (), {}, ("limit_conn_zone", "map"))
    zones = [(each.name, *each.args) for each in http.inside("limit_conn_zone")]
    yield from differences("http-snippet", zones, LIMITS[:2])
    yield from differences("http-snippet", http.inside("map"), maps())
    lines = [pairs_of(each) for each in http.inside("map") if each.args == ("$request", "$isthmus_line")]
    if lines != [CALLS]:
        yield "http-snippet: the map of request lines is not the strict one on raw bytes"


def _anchors(secret: dict[str, Any]) -> Iterator[str]:
    if secret["type"] != "Opaque" or set(secret["stringData"]) != {"ca.crt"}:
        yield "Secret: it does not hold the trust anchors alone"
    try:
        certificates_of(secret["stringData"]["ca.crt"], "Secret: ca.crt")
    except FactsRefused as refused:
        yield str(refused)


def _annotations(metadata: dict[str, Any]) -> Iterator[str]:
    yield from _keys("Ingress", metadata, {"name", "namespace", "annotations"})
    annotations = dict(metadata["annotations"])
    snippet, depth = annotations.pop(SNIPPET), annotations.pop(DEPTH)
    yield from _table("Ingress", annotations, ANNOTATIONS)
    if not (str(depth).isdecimal() and 1 <= int(depth) <= DEEPEST_CHAIN):
        yield f"Ingress: {DEPTH} is {depth!r}"
    server = Directive("server", (), _parsed("server-snippet", snippet))
    yield from check_block("server-snippet", server.block or (), SERVER, ("limit_conn", "error_page", "location"))
    limits = [(each.name, *each.args) for each in server.inside("limit_conn")]
    yield from differences("server-snippet", limits, LIMITS[2:4])
    yield from differences("server-snippet", server.inside("error_page"), list(error_pages()))
    locations = server.inside("location")
    *errors, call, rest = locations
    yield from differences("server-snippet", errors, list(error_locations()))
    if (call.args, rest.args) != (("~", ROUTE), ("~", "^/")):
        yield "server-snippet: there is not one location for calls, and one after it that refuses all else"
    yield from check_call(call, HERE)
    yield from check_no_call(rest)


def _spec(spec: dict[str, Any]) -> Iterator[str]:
    yield from _keys("Ingress.spec", spec, {"ingressClassName", "tls", "rules"})
    hosts = spec["tls"][0]["hosts"]
    if not hosts or not all(map(is_domain, hosts)):
        yield "Ingress.spec.tls: the hosts are no infra domains"
    backend = {"service": {"name": "isthmus-federator", "port": {"number": 7790}}}
    paths = [{"path": "/-/unused", "pathType": "Exact", "backend": backend}]
    wanted = {
        "ingressClassName": "isthmus",
        "tls": [{"hosts": hosts, "secretName": "isthmus-ingress-tls"}],
        "rules": [{"host": name, "http": {"paths": paths}} for name in hosts],
    }
    if spec != wanted:
        yield "Ingress.spec: it is not what was rendered for these hosts"


def _parsed(name: str, text: str) -> tuple[Directive, ...]:
    try:
        return parse(text)
    except SyntaxBroken as error:
        raise ValueError(f"{name}: {error}") from None
