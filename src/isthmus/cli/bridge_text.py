"""Bridges at work as text for people. Pure."""

from datetime import datetime
from typing import Any

from isthmus.cli.text import Column, age, duration, fields, parse_time, size, table

Status = dict[str, Any]

COLUMNS = (
    Column("REMOTE"),
    Column("NETWORK"),
    Column("HERE"),
    Column("THERE"),
    Column("TUNNEL"),
    Column("HANDSHAKE"),
    Column("RECEIVED"),
    Column("SENT"),
    Column("OPEN"),
    Column("ID"),
)
RULES = (
    Column("WAY"),
    Column("FROM"),
    Column("TO"),
    Column("SERVICE"),
    Column("GRANT"),
    Column("SUBJECT"),
    Column("ENDS"),
    Column("PACKETS"),
    Column("BYTES"),
    Column("LAST"),
)


def overview(statuses: list[Status], now: datetime, width: int | None) -> str:
    """One line for each bridge."""
    if not statuses:
        return "no bridges yet: isthmus bridge propose"
    return table(COLUMNS, [_row(status, now) for status in statuses], width)


def _row(status: Status, now: datetime) -> tuple[object, ...]:
    tunnel = status["tunnel"] or {}
    handshake = tunnel.get("latest_handshake")
    return (
        status["remote"],
        status["network"] and status["network"]["name"],
        status["state"],
        status["state_there"],
        tunnel_of(status),
        age(handshake, now) if handshake else None,
        *(size(tunnel[name]) if tunnel else None for name in ("rx", "tx")),
        len(status["rules"]) if status["effective"] else "nothing",
        status["id"],
    )


def tunnel_of(status: Status) -> str:
    if not status["effective"]:
        return "closed"
    if status["tunnel"] is None:
        return "unknown"
    return "up" if status["tunnel"]["up"] else "down"


def details(status: Status, now: datetime, width: int | None) -> str:
    """One bridge: its tunnel, and every way that is open with the grant behind it."""
    tunnel, network = status["tunnel"], status["network"]
    pairs: list[tuple[str, object]] = [
        ("bridge", status["id"]),
        ("between", f"{network['name'] if network else 'no network'} and {status['network_there'] or 'a network'}"),
        ("remote", status["remote"]),
        ("state", f"{status['state']} here, {status['state_there'] or 'unknown'} there"),
        ("gateway", _gateway(status["gateway"])),
        ("tunnel", tunnel_of(status)),
    ]
    if tunnel is not None:
        handshake = tunnel["latest_handshake"]
        pairs += [
            ("endpoint", tunnel["endpoint"]),
            ("last handshake", age(handshake, now) if handshake else "never"),
            ("traffic", f"{size(tunnel['rx'])} received, {size(tunnel['tx'])} sent"),
        ]
    if status["effective"]:
        pairs += [("lease", _lease(status, now)), ("prefixes", status["prefixes"])]
    if status["barred"]:
        pairs.append(("barred", status["barred"]))
    told = fields([pair for pair in pairs if pair[1] not in (None, "", [])])
    if not status["rules"]:
        return f"{told}\n\nno way is open"
    return f"{told}\n\n{table(RULES, [_rule(rule, now) for rule in status['rules']], width)}"


def _gateway(gateway: dict[str, Any] | None) -> str:
    if gateway is None:
        return "none: the network has no jump peer that is enrolled"
    applied, desired = gateway["applied_revision"], gateway["desired_revision"]
    state = f"at revision {applied}" if applied == desired else f"at revision {applied or 'none'}, due is {desired}"
    parts = [gateway["peer"]["name"], "connected" if gateway["connected"] else "not connected", state]
    return ", ".join([*parts, *([gateway["error"]] if gateway["error"] else [])])


def _lease(status: Status, now: datetime) -> str:
    until = parse_time(status["lease_until"])
    if until is None:
        return f"{duration(status['lease_seconds'])}, the gateway was not heard yet"
    if until <= now:
        return "over: the gateway has not been heard and has closed the bridge by itself"
    return f"{int((until - now).total_seconds())} s left of {status['lease_seconds']} s"


def _rule(rule: dict[str, Any], now: datetime) -> tuple[object, ...]:
    grant = rule["grant"]
    ends = parse_time(grant["expires_at"]) if grant else None
    host = f"[{rule['destination']}]" if ":" in rule["destination"] else rule["destination"]
    return (
        rule["direction"],
        ", ".join(rule["sources"]),
        f"{host}:{','.join(rule['ports'])}/{rule['protocol']}",
        rule["service"] if grant else "ingress",
        f"{grant['id']} ({grant['given']})" if grant else None,
        grant["subject"] if grant else None,
        f"in {duration(int((ends - now).total_seconds()))}" if ends and ends > now else None,
        rule["packets"],
        size(rule["bytes"]),
        age(rule["last_seen"], now) if rule["last_seen"] else None,
    )
