"""Grants and services as text for people. Pure."""

from typing import Any

from isthmus.cli.text import Column, cell, fields, minute, table

Json = dict[str, Any]
NOBODY = "nobody: the list is empty"
ACTIONS = {
    "read": "read",
    "write": "change",
    "admin": "see the grants of",
    "migrate": "export",
    "connect": "connect to",
}


def issued(answer: Json) -> str:
    """A grant at the moment of its token: what it allows in words, what is wide open, and the token."""
    grant = answer["grant"]
    parts = [f"grant {grant['id']}\n{sentence(grant)}"]
    if answer["warnings"]:
        parts.append("\n".join(f"  note: {each}" for each in answer["warnings"]))
    parts.append(f"token, shown this once:\n  {answer['token']}")
    return "\n\n".join(parts)


def sentence(grant: Json) -> str:
    """What a grant allows, in words."""
    actions = [ACTIONS.get(scope, scope) for scope in grant["scopes"]]
    what = f"{grant['kind']} {grant['resource_id']}" if grant["resource_id"] else f"every {grant['kind']}"
    listed = ", ".join(actions[:-1]) + f" and {actions[-1]}" if len(actions) > 1 else actions[0]
    limits = [
        allowed(grant["instances"], "by any of its instances", "by instance"),
        allowed(grant["networks"], "over any network", "over network"),
        allowed(grant["sources"], "from any address", "from"),
    ]
    return f"  {grant['subject']} may {listed} {what}, {', '.join(limits)}, until {minute(grant['expires_at'])}"


def allowed(axis: Json, anything: str, listed: str) -> str:
    if axis["mode"] == "any":
        return anything
    return f"{listed} {' or '.join(axis['entries'])}" if axis["entries"] else f"{listed} {NOBODY}"


def overview(grants: list[Json], width: int | None) -> str:
    if not grants:
        return "no grants yet: isthmus grant create --to bob@b.example --kind service --resource wiki --scopes connect"
    columns = [Column("GRANT"), Column("SUBJECT"), Column("RESOURCE", may_shrink=True), Column("SCOPES")]
    columns += [Column("RESTRICTED BY"), Column("STATE"), Column("EXPIRES")]
    rows = [
        (
            each["id"],
            each["subject"],
            resource(each),
            each["scopes"],
            restrictions(each),
            each["state"],
            minute(each["expires_at"]),
        )
        for each in grants
    ]
    return table(columns, rows, width)


def held(grants: list[Json], width: int | None) -> str:
    if not grants:
        return "no remote has granted anything to ours"
    columns = [Column("REMOTE"), Column("GRANT"), Column("SUBJECT"), Column("RESOURCE", may_shrink=True)]
    columns += [Column("SCOPES"), Column("SERVICES", may_shrink=True), Column("STATE"), Column("EXPIRES")]
    rows = [
        (
            each["remote"],
            each["id"],
            each["subject"],
            resource(each),
            each["scopes"],
            [reach(service) for service in each["services"]],
            each["state"],
            minute(each["expires_at"]),
        )
        for each in grants
    ]
    return table(columns, rows, width)


def reach(service: Json) -> str:
    return f"{service['name']} {service['protocol']} {service['address']} port {cell(service['ports'])}"


def resource(grant: Json) -> str:
    return f"{grant['kind']} {grant['resource_id']}" if grant["resource_id"] else f"every {grant['kind']}"


def restrictions(grant: Json) -> list[str]:
    return [name for name in ("instances", "networks", "sources") if grant[name]["mode"] == "list"]


def axis(value: Json) -> str:
    return "any" if value["mode"] == "any" else cell(value["entries"]) if value["entries"] else NOBODY


def details(grant: Json) -> str:
    pairs: list[tuple[str, object]] = [
        ("id", grant["id"]),
        ("state", grant["state"]),
        ("subject", grant["subject"]),
        ("granted by", grant["grantor"]),
        ("resource", resource(grant)),
        ("scopes", grant["scopes"]),
        ("instances", axis(grant["instances"])),
        ("networks", axis(grant["networks"])),
        ("sources", axis(grant["sources"])),
        ("issued", minute(grant["issued_at"])),
        ("expires", minute(grant["expires_at"])),
        ("last used", minute(grant["last_used_at"]) if grant["last_used_at"] else "never"),
        ("denials tell", grant["disclose"]),
        ("note", grant["note"]),
    ]
    if grant["revoked_at"]:
        pairs.append(("revoked", f"{minute(grant['revoked_at'])} by {grant['revoked_by']}: {grant['revoked_reason']}"))
    rows = [(each["public_id"], minute(each["created_at"]), minute(each["expires_at"])) for each in grant["tokens"]]
    tokens = table([Column("TOKEN"), Column("MADE"), Column("ENDS")], rows) if rows else "no token of it works"
    return f"{fields(pairs)}\n\n{tokens}"


def explained(found: Json) -> str:
    """Which check decided, and what each axis allows beside what it was given."""
    verdict = "the call passes" if found["allowed"] else f"the call is denied by {found['deciding']}: {found['code']}"
    pairs: list[tuple[str, object]] = [("verdict", verdict), ("bridge", found["bridge_state"])]
    if found["recorded"] is not None:
        pairs.append(("then", f"denied: {found['recorded']}" if found["recorded"] else "let pass"))
    pairs += [(each["check"], each["refusal"] or "passed") for each in found["checks"]]
    rows = [
        (
            each["axis"],
            "any" if each["mode"] == "any" else each["allowed"] or NOBODY,
            each["supplied"],
            each["admitted"],
        )
        for each in found["axes"]
    ]
    axes = table([Column("AXIS"), Column("ALLOWED"), Column("SUPPLIED"), Column("ADMITTED")], rows)
    return f"{fields(pairs)}\n\n{axes}"


def services(found: list[Json], names: dict[str, str], width: int | None) -> str:
    if not found:
        return "no services yet: isthmus service create wiki --network office --address 10.20.0.9 --port 443"
    columns = [Column("SERVICE"), Column("NETWORK"), Column("PROTOCOL"), Column("ADDRESS"), Column("PORTS")]
    rows = [
        (
            each["name"],
            names.get(each["network_id"], each["network_id"]),
            each["protocol"],
            each["address"],
            each["ports"],
        )
        for each in found
    ]
    return table(columns, rows, width)


def service(found: Json) -> str:
    names = ("id", "name", "network_id", "protocol", "address", "ports", "note")
    return fields([*((name, found[name]) for name in names), ("created", minute(found["created_at"]))])
