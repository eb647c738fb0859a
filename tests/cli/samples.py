"""Objects as the API answers them."""

from typing import Any

NETWORK_ID = "01890000-0000-7000-8000-000000000001"
PEER_ID = "01890000-0000-7000-8000-000000000002"
TOKEN_ID = "01890000-0000-7000-8000-000000000003"

Json = dict[str, Any]


def page(*items: Json, then: str | None = None) -> Json:
    return {"items": list(items), "next": then}


def a_network(**changes: Any) -> Json:
    counts = {"total": 254, "used": 3, "reserved": 1, "held": 0, "free": 250}
    return {
        "id": NETWORK_ID,
        "name": "office",
        "cidr_v4": "10.20.0.0/24",
        "cidr_v6": "fd12:3456:789a:1::/64",
        "domain": "office.internal",
        "mtu": 1420,
        "listen_port": 51820,
        "keepalive": 25,
        "direct_paths": "auto",
        "has_direct_paths": True,
        "primary": {"id": PEER_ID, "name": "gw"},
        "dns_upstreams": [],
        "revision": 7,
        "created_at": "2026-11-23T20:00:00Z",
        "capacity": {"v4": counts, "v6": {**counts, "total": 2**64, "free": 2**64 - 4}},
    } | changes


def a_peer(**changes: Any) -> Json:
    return {
        "id": PEER_ID,
        "network": {"id": NETWORK_ID, "name": "office"},
        "name": "laptop",
        "kind": "dynamic",
        "addresses": ["10.20.0.2", "fd12:3456:789a:1::2"],
        "public_key": "Y2xpZW50cHVibGlja2V5Y2xpZW50cHVibGlja2V5MTI=",
        "endpoint": None,
        "isolated": False,
        "full_encapsulation": False,
        "additional_allowed_ips": [],
        "owner": None,
        "labels": {},
        "groups": [],
        "version": 1,
        "created_at": "2026-11-23T20:00:00Z",
        "enrollment": {"state": "enrolled", "prefix": None, "expires_at": None},
        "desired_revision": 7,
        "status": a_status(),
    } | changes


def a_status(**changes: Any) -> Json:
    return {
        "last_seen": "2026-11-23T20:09:55Z",
        "hostname": "laptop.example",
        "agent_version": "0.1.0",
        "applied_revision": 7,
        "applied_error": None,
        "endpoint": "203.0.113.9:41820",
        "latest_handshake": "2026-11-23T20:09:48Z",
        "rx": 2048,
        "tx": 100,
        "connected": True,
        "state": "online",
        "since": "2026-11-23T20:00:10Z",
    } | changes


def a_problem(**changes: Any) -> Json:
    return {
        "type": "https://isthmus.example/problems/validation_failed",
        "title": "The request is not valid",
        "status": 422,
        "detail": "cidr_v4 has bits set behind its prefix",
        "code": "validation_failed",
        "retryable": False,
        "request_id": "req-42",
        "hint": "correct the fields and try again",
        "errors": [
            {"pointer": "/cidr_v4", "detail": "has bits set behind its prefix", "hint": "did you mean 10.20.0.0/24?"}
        ],
    } | changes
