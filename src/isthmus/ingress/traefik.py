"""A Traefik v3 from typed facts: static and dynamic configuration, in the part of YAML that is JSON.

Only keys that Traefik's published reference defines. What Traefik cannot do is named in docs/decisions/0023: it
normalises paths before it passes them on, knows no whitelist of headers, and reaches the Federator over TCP.
"""

import json
from hashlib import sha256
from typing import Any

from isthmus.ingress.facts import anchors_text, checked
from isthmus.ingress.layout import Layout
from isthmus.protocol.ingress import LISTENER, NETWORK, SECRET, TRUST_HEADERS, IngressFacts, Listener

STATIC, DYNAMIC, ANCHORS, DIGEST = "traefik.yaml", "dynamic.yaml", "anchors.pem", "digest"
ROUTE = "^/federation/[a-z][a-z0-9-]{0,62}/[a-z][a-z0-9-]{0,62}$"
# Where a socket proxy passes connections on to the Federator's unix socket; Traefik's services are URLs.
UPSTREAM = "http://127.0.0.1:7790"
MOST_HEADERS = 16 * 1024
PER_SOURCE = 64


def render(facts: IngressFacts, layout: Layout) -> dict[str, str]:
    """The files by name. Raises `FactsRefused`."""
    checked(facts)
    files = {
        STATIC: _text(_static(facts)),
        DYNAMIC: _text(_dynamic(facts, layout)),
        ANCHORS: anchors_text(facts.anchors),
    }
    return {**files, DIGEST: digest_of(files) + "\n"}


def digest_of(files: dict[str, str]) -> str:
    found = sha256()
    for name in (STATIC, DYNAMIC, ANCHORS):
        raw = files[name].encode()
        found.update(f"{name} {len(raw)}\n".encode() + raw)
    return found.hexdigest()


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _static(facts: IngressFacts) -> dict[str, Any]:
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "format": "json"},
        "entryPoints": {each.id: _entry_point(each) for each in facts.listeners},
        "providers": {"file": {"filename": DYNAMIC, "watch": True}},
    }


def _entry_point(listener: Listener) -> dict[str, Any]:
    host = f"[{listener.address}]" if ":" in listener.address else listener.address
    return {
        "address": f"{host}:{listener.port}",
        # Its tidying of paths would make calls of what is none.
        "http": {"maxHeaderBytes": MOST_HEADERS, "sanitizePath": False},
        "forwardedHeaders": {"insecure": False, "trustedIPs": []},
        "transport": {
            "respondingTimeouts": {"readTimeout": "10s", "writeTimeout": "30s", "idleTimeout": "60s"},
            "lifeCycle": {"requestAcceptGraceTimeout": "0s", "graceTimeOut": "5s"},
        },
    }


def _dynamic(facts: IngressFacts, layout: Layout) -> dict[str, Any]:
    forwarding = {"dialTimeout": "2s", "responseHeaderTimeout": "15s"}
    return {
        "http": {
            "routers": {each.id: _router(facts, each) for each in facts.listeners},
            "middlewares": _middlewares(facts, layout),
            "services": {
                "isthmus-federator": {
                    "loadBalancer": {
                        "servers": [{"url": UPSTREAM}],
                        "passHostHeader": False,
                        "serversTransport": "isthmus-federator",
                    }
                }
            },
            "serversTransports": {"isthmus-federator": {"forwardingTimeouts": forwarding, "disableHTTP2": True}},
        },
        "tls": {
            "certificates": [
                {"certFile": str(layout.source / "chain.pem"), "keyFile": str(layout.source / "key.pem")},
            ],
            "options": {
                # The default is what holds for names that no router knows.
                "default": {
                    "minVersion": "VersionTLS13",
                    "clientAuth": {"caFiles": [ANCHORS], "clientAuthType": "RequireAndVerifyClientCert"},
                    "sniStrict": True,
                    "alpnProtocols": ["http/1.1"],
                    "disableSessionTickets": True,
                }
            },
        },
    }


def _router(facts: IngressFacts, listener: Listener) -> dict[str, Any]:
    hosts = " || ".join(f"Host(`{name}`)" for name in facts.infra_domains)
    return {
        "entryPoints": [listener.id],
        "rule": f"({hosts}) && Method(`POST`) && PathRegexp(`{ROUTE}`)",
        # What callers wrote goes first, then what is proven is set.
        "middlewares": ["strip", "connections", "body", "leaf", f"facts-{listener.id}"],
        "service": "isthmus-federator",
        "tls": {"options": "default"},
    }


def _middlewares(facts: IngressFacts, layout: Layout) -> dict[str, Any]:
    body = {"maxRequestBodyBytes": facts.most_body, "memRequestBodyBytes": facts.most_body}
    proven = {
        f"facts-{each.id}": {
            "headers": {
                "customRequestHeaders": {
                    LISTENER: each.id,
                    SECRET: layout.secret(each.id),
                    NETWORK: each.network,
                }
            }
        }
        for each in facts.listeners
    }
    return {
        # An empty value removes a header.
        "strip": {"headers": {"customRequestHeaders": dict.fromkeys(TRUST_HEADERS, "")}},
        "connections": {"inFlightReq": {"amount": PER_SOURCE, "sourceCriterion": {"ipStrategy": {"depth": 0}}}},
        "body": {"buffering": body},
        "leaf": {"passTLSClientCert": {"pem": True}},
        **proven,
    }
