"""The ingress of a cluster: objects for an ingress-nginx controller of its own, in JSON for `kubectl apply -f`.

The controller adds headers of its own to every location that it makes, and no annotation takes them away. So calls are
handled in a location of ours, in the server snippet, and the same maps and problem documents as in our own nginx stand
around it. The cluster has no overlay: facts with an overlay's listener are refused.
"""

import json
from hashlib import sha256
from typing import Any

from isthmus.ingress.facts import anchors_text, checked
from isthmus.ingress.layout import Layout
from isthmus.ingress.nginx import IN_ALL, PER_SOURCE, ROUTE, call, no_call
from isthmus.ingress.nginx_errors import error_locations, error_pages
from isthmus.ingress.nginx_maps import maps
from isthmus.ingress.refused import FactsRefused
from isthmus.ingress.syntax import Directive, block, line, text_of
from isthmus.protocol.ingress import WAN, IngressFacts

MANIFEST, DIGEST = "ingress.json", "digest"
NAMESPACE, NAME, CLASS = "isthmus", "isthmus-ingress", "isthmus"
# A Service before the socket proxy that stands beside the Federator in its pod.
UPSTREAM = "isthmus-federator.isthmus.svc.cluster.local:7790"
PREFIX = "nginx.ingress.kubernetes.io"

CONTROLLER = {
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


def render(facts: IngressFacts, layout: Layout) -> dict[str, str]:
    """The files by name. Raises `FactsRefused`, also for listeners other than one on the WAN."""
    checked(facts)
    if len(facts.listeners) != 1 or facts.listeners[0].network != WAN:
        why = "a cluster's ingress has one listener, on the WAN"
        raise FactsRefused(why, "run the ingress of an overlay on its gateway: isthmus ingress run")
    items = [_controller(), _anchors(facts), _ingress(facts, layout)]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2) + "\n"
    return {MANIFEST: manifest, DIGEST: digest_of(manifest) + "\n"}


def digest_of(manifest: str) -> str:
    return sha256(manifest.encode()).hexdigest()


def _named(kind: str, version: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, **metadata}}


def _controller() -> dict[str, Any]:
    http = [
        line("limit_conn_zone", "$binary_remote_addr", "zone=isthmus_source:4m"),
        line("limit_conn_zone", "$isthmus_everybody", "zone=isthmus_all:64k"),
        *maps(),
    ]
    return {**_named("ConfigMap", "v1", f"{NAME}-controller"), "data": {**CONTROLLER, "http-snippet": text_of(http)}}


def _anchors(facts: IngressFacts) -> dict[str, Any]:
    return {
        **_named("Secret", "v1", f"{NAME}-anchors"),
        "type": "Opaque",
        "stringData": {"ca.crt": anchors_text(facts.anchors)},
    }


def _ingress(facts: IngressFacts, layout: Layout) -> dict[str, Any]:
    annotations = {
        f"{PREFIX}/auth-tls-verify-client": "on",
        f"{PREFIX}/auth-tls-secret": f"{NAMESPACE}/{NAME}-anchors",
        f"{PREFIX}/auth-tls-verify-depth": str(facts.verify_depth),
        f"{PREFIX}/auth-tls-pass-certificate-to-upstream": "false",
        f"{PREFIX}/ssl-redirect": "false",
        f"{PREFIX}/server-snippet": text_of(_server(facts, layout)),
    }
    # The controller wants a rule. No request reaches it: the snippet's locations take every path before.
    backend = {"service": {"name": "isthmus-federator", "port": {"number": 7790}}}
    paths = [{"path": "/-/unused", "pathType": "Exact", "backend": backend}]
    return {
        **_named("Ingress", "networking.k8s.io/v1", NAME, annotations=annotations),
        "spec": {
            "ingressClassName": CLASS,
            "tls": [{"hosts": facts.infra_domains, "secretName": f"{NAME}-tls"}],
            "rules": [{"host": name, "http": {"paths": paths}} for name in facts.infra_domains],
        },
    }


def _server(facts: IngressFacts, layout: Layout) -> list[Directive]:
    listener = facts.listeners[0]
    return [
        line("merge_slashes", "off"),
        line("client_max_body_size", facts.most_body),
        line("client_body_buffer_size", facts.most_body),
        line("send_timeout", "10s"),
        line("limit_conn", "isthmus_source", PER_SOURCE),
        line("limit_conn", "isthmus_all", IN_ALL),
        line("default_type", "application/problem+json"),
        *error_pages(),
        *error_locations(),
        block("location", "~", ROUTE, of=call(listener, layout, UPSTREAM)),
        block("location", "~", "^/", of=no_call()),
    ]
