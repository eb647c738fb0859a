"""Peers as text for people. Pure."""

from datetime import datetime
from typing import Any

from isthmus.cli.text import NOTHING, Column, age, fields, minute, size, table

Peer = dict[str, Any]

COLUMNS = (
    Column("NAME"),
    Column("KIND"),
    Column("ADDRESS"),
    Column("ENDPOINT", may_shrink=True),
    Column("HANDSHAKE"),
    Column("REV"),
    Column("STATE"),
)


def overview(peers: list[Peer], now: datetime, width: int | None) -> str:
    """One line for each peer. Networks are named only if there are several."""
    if not peers:
        return "no peers: isthmus peer create laptop --network office"
    networks = {peer["network"]["name"] for peer in peers}
    rows = [_row(peer, now) for peer in peers]
    if len(networks) == 1:
        return table(COLUMNS, rows, width)
    named = [(peer["network"]["name"], *row) for peer, row in zip(peers, rows, strict=True)]
    return table((Column("NETWORK"), *COLUMNS), named, width)


def _row(peer: Peer, now: datetime) -> tuple[object, ...]:
    seen = _status(peer).get("latest_handshake")
    # Handshakes are what jump peers report of others.
    handshake = NOTHING if seen is None and peer["kind"] == "jump" else age(seen, now)
    return (
        peer["name"],
        peer["kind"],
        peer["addresses"][0] if peer["addresses"] else None,
        endpoint_of(peer),
        handshake,
        revision_of(peer),
        state_of(peer),
    )


def endpoint_of(peer: Peer) -> str | None:
    """Where the peer is reached: as declared, else as its jump peer sees it."""
    found = peer.get("endpoint") or _status(peer).get("endpoint")
    return str(found) if found else None


def revision_of(peer: Peer) -> str:
    """`applied/desired`; static peers report nothing."""
    if peer["kind"] == "static":
        return NOTHING
    applied = _status(peer).get("applied_revision")
    return f"{NOTHING if applied is None else applied}/{peer['desired_revision']}"


def state_of(peer: Peer) -> str:
    """The one word that matters most: what is broken before what is missing before what is fine."""
    status = _status(peer)
    if peer.get("blocked"):
        return "blocked"
    if status.get("applied_error"):
        return "failed"
    enrollment = (peer.get("enrollment") or {}).get("state")
    if enrollment in {"pending", "expired"}:
        return str(enrollment)
    return str(status.get("state") or NOTHING)


def _status(peer: Peer) -> dict[str, Any]:
    return peer.get("status") or {}


def summary(peer: Peer) -> str:
    addresses = " and ".join(peer["addresses"])
    return f"{peer['kind']} peer {peer['name']} of network {peer['network']['name']}: {addresses}, id {peer['id']}"


def details(peer: Peer, now: datetime) -> str:
    status, enrollment = _status(peer), peer.get("enrollment") or {}
    settings = ("public_key", "isolated", "full_encapsulation", "additional_allowed_ips", "owner", "labels", "groups")
    pairs: list[tuple[str, object]] = [
        ("id", peer["id"]),
        ("name", peer["name"]),
        ("network", peer["network"]["name"]),
        ("kind", f"{peer['kind']}, {peer['role']}" if peer.get("role") else peer["kind"]),
        ("state", state_of(peer)),
        ("addresses", peer["addresses"]),
        ("endpoint", peer.get("endpoint")),
        *((name, peer.get(name)) for name in settings),
        ("created", minute(peer.get("created_at"))),
        *_key_pairs(peer, now),
    ]
    if peer.get("blocked"):
        pairs.append(("blocked by", f"isthmus incident list --peer {peer['name']}"))
    if enrollment.get("state") in {"pending", "expired"}:
        pairs.append(("enrollment token", f"{enrollment.get('prefix')}…, until {minute(enrollment.get('expires_at'))}"))
    pairs += [(name, value) for name, value in _status_pairs(peer, status, now) if value is not None]
    return fields(pairs)


def _key_pairs(peer: Peer, now: datetime) -> list[tuple[str, object]]:
    key, session = peer.get("key") or {}, peer.get("session")
    pairs: list[tuple[str, object]] = []
    if key.get("changed_at"):
        pairs.append(("key made", age(key["changed_at"], now)))
    if key.get("asked_at"):
        pairs.append(("new key", f"asked for {age(key['asked_at'], now)}, comes when the agent connects"))
    if session:
        rotated = session.get("rotated_at")
        renewed = f", token changed {age(rotated, now)}" if rotated else ""
        pairs.append(("session", f"since {minute(session['since'])}{renewed}"))
    elif (peer.get("enrollment") or {}).get("state") == "enrolled":
        pairs.append(("session", "ended: it returns with a new token"))
    return pairs


def rotation(asked: dict[str, Any]) -> str:
    """What became of the wish for a new key."""
    name, new = asked["peer"]["name"], asked.get("new_public_key")
    waits = {
        "agent": "its agent is away and changes the key when it connects",
        "jump_peer": "the agent of its jump peer is away, and has to be there before the key can change",
        "others": "agents that were there a moment ago are away, and are waited for up to two minutes",
    }
    if new:
        text = f"the key of {name} has changed\n  old  {asked['public_key']}\n  new  {new}"
    else:
        text = f"{name} was asked for a new key: {waits.get(asked['waits_for'], 'its agent changes it now')}"
    if asked["reissue"]:
        commands = "\n".join(f"  isthmus peer config {peer['name']}" for peer in asked["reissue"])
        text += f"\n\nThese static peers need their config again once it has changed:\n{commands}"
    return text


def _status_pairs(peer: Peer, status: dict[str, Any], now: datetime) -> list[tuple[str, object]]:
    return [
        ("host", status.get("hostname")),
        ("agent", status.get("agent_version")),
        ("since", age(status["since"], now) if status.get("since") else None),
        ("last seen", age(status["last_seen"], now) if status.get("last_seen") else None),
        ("seen at", status.get("endpoint")),
        ("last handshake", age(status.get("latest_handshake"), now)),
        ("revision", revision_of(peer) if peer["kind"] != "static" else None),
        ("error", status.get("applied_error")),
        ("received", size(status["rx"]) if status.get("rx") else None),
        ("sent", size(status["tx"]) if status.get("tx") else None),
    ]
