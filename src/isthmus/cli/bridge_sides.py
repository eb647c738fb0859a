"""How the two sides of a bridge stand, as text for people."""

from typing import TYPE_CHECKING, Any

from isthmus.cli.text import Column, age, fields, minute, table

if TYPE_CHECKING:
    from isthmus.cli.session import Session

Json = dict[str, Any]


def overview(bridges: list[Json], session: "Session") -> str:
    if not bridges:
        return "no bridges yet: isthmus bridge propose b.example --network office"
    columns = [Column("BRIDGE"), Column("REMOTE"), Column("NETWORKS"), Column("HERE"), Column("THERE")]
    rows = [
        (
            each["id"],
            each["remote"],
            f"{ours(each)} - {theirs(each)}",
            each["state"],
            each["state_there"] or "-",
            "yes" if each["effective"] else each["obstacles"][0],
            age(each["changed_at"], session.now),
        )
        for each in bridges
    ]
    return table([*columns, Column("PASSES", may_shrink=True), Column("CHANGED")], rows, session.width)


def details(bridge: Json) -> str:
    """Both sides, and in one line whether anything may pass."""
    pairs: list[tuple[str, object]] = [
        ("bridge", f"{bridge['id']}, number {bridge['generation']} of its networks"),
        ("remote", f"{bridge['remote']}, {bridge['remote_state']}"),
        ("passes", "what grants allow" if bridge["effective"] else f"nothing: {'; '.join(bridge['obstacles'])}"),
        ("here", state_of(bridge["state"], bridge["reason"])),
        ("there", state_of(bridge["state_there"] or "not heard of", bridge["reason_there"])),
        ("proposed", f"by {'us' if bridge['proposed_by'] == 'ours' else 'them'}, {minute(bridge['created_at'])}"),
        ("changed", minute(bridge["changed_at"])),
        ("let in", bridge["accepted"]),
    ]
    waiting = unaccepted(bridge)
    if waiting:
        pairs.append(("not let in", f"{', '.join(waiting)}: isthmus bridge accept-prefixes"))
    sides = side("ours", ours(bridge), bridge["ours"]), side("theirs", theirs(bridge), bridge["theirs"])
    return "\n\n".join(part for part in (fields(pairs), *sides) if part)


def state_of(state: str, reason: str) -> str:
    return f"{state} ({reason})" if reason else state


def unaccepted(bridge: Json) -> list[str]:
    """What the other side offers and is not let in, on a bridge that was accepted."""
    if bridge["state"] not in ("active", "suspended") or not bridge["theirs"]:
        return []
    return [each for each in bridge["theirs"]["prefixes"] if each not in bridge["accepted"]]


def side(whose: str, network: str, terms: Json | None) -> str:
    if terms is None:
        return ""
    gateways = [f"{each['public_key']} at {', '.join(each['endpoints']) or '?'}" for each in terms["gateways"]]
    ingress = f"{terms['vip']} port {terms['port']}" if terms["vip"] else "does not listen in the network"
    pairs: list[tuple[str, object]] = [
        (whose, f"network {network}"),
        ("prefixes", terms["prefixes"]),
        ("gateway", gateways[0] if gateways else "none: no jump peer with key and endpoint"),
        *(("standby", each) for each in gateways[1:]),
        ("ingress", ingress),
        ("instances", len(terms["instances"])),
    ]
    return fields(pairs)


def moved(bridge: Json, what: str) -> str:
    """What an operator reads after an action: what became of it, and what comes next."""
    first = f"bridge {bridge['id']} with {bridge['remote']} is {what}" if what != "has its prefixes" else let_in(bridge)
    if bridge["effective"]:
        return f"{first}; it is effective: grants decide what passes"
    return f"{first}; nothing passes: {'; '.join(bridge['obstacles'])}"


def let_in(bridge: Json) -> str:
    return f"bridge {bridge['id']} with {bridge['remote']} lets in {', '.join(bridge['accepted']) or 'nothing'}"


def ours(bridge: Json) -> str:
    network = bridge["network"]
    return "?" if network is None else str(network["name"] or network["id"])


def theirs(bridge: Json) -> str:
    return str((bridge["theirs"] or {}).get("network") or "?")
