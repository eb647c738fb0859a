"""Remotes, invitations, findings and examinations as text for people."""

from typing import TYPE_CHECKING, Any

from isthmus.cli.text import Column, age, cell, fields, minute, printable, table

if TYPE_CHECKING:
    from isthmus.cli.session import Session

Json = dict[str, Any]


def overview(remotes: list[Json], session: "Session") -> str:
    if not remotes:
        return "no remotes yet: isthmus remote invite b.example"
    columns = [Column("DOMAIN"), Column("STATE"), Column("DIRECTION"), Column("COMPONENTS", may_shrink=True)]
    rows = [
        (
            each["domain"],
            standing(each),
            each["direction"],
            components(each),
            each["infra_domains"],
            age(each["changed_at"], session.now),
        )
        for each in remotes
    ]
    return table([*columns, Column("INFRA DOMAINS", may_shrink=True), Column("CHANGED")], rows, session.width)


def standing(remote: Json) -> str:
    """How the two sides stand, in a few words."""
    state, there = remote["state"], remote.get("state_there")
    if state == "pending":
        if not remote["confirmed_here"]:
            return "pending: confirm here"
        return "pending: confirmed here"
    if state == "revoked":
        return "revoked by them" if there == "revoked" else "revoked"
    if there == "suspended":
        return "suspended by them" if state == "active" else "suspended by both"
    return str(state)


def components(remote: Json) -> str:
    return "all" if remote["components"] is None else cell(remote["components"])


def details(remote: Json, session: "Session") -> str:
    limits = remote["limits"]
    pairs: list[tuple[str, object]] = [
        ("domain", remote["domain"]),
        ("state", standing(remote)),
        ("since", minute(remote["changed_at"])),
        ("short code", remote["short_code"]),
        ("confirmed", confirmed(remote)),
        ("direction", remote["direction"]),
        ("components", components(remote)),
        ("trust", remote["trust"]),
        ("infra domains", remote["infra_domains"]),
        ("bundle", f"{remote['bundle_sequence']}, digest {remote['bundle_digest'][:16] or '-'}"),
        ("requests", f"{limits['requests']:g}/s, {limits['requests_burst']} at once, {limits['parallel']} in parallel"),
        ("mutations", f"{limits['mutations']:g}/s, {limits['mutations_burst']} at once"),
        ("expires", minute(remote["expires_at"]) if remote["expires_at"] else "never"),
        ("DNSSEC, TLSA", f"{cell(remote['needs_dnssec'])}, {cell(remote['needs_tlsa'])}"),
        ("instances", "those listed below" if remote["known_instances_only"] else "all that it certifies"),
        ("internet", "may call over it" if remote["wan_permitted"] else "may call over bridges alone"),
        ("contact", remote["contact"]),
        ("notes", remote["notes"]),
        ("entry", generation(remote)),
    ]
    if remote.get("accepting_until"):
        until = minute(remote["accepting_until"])
        pairs.append(("not told yet", f"that we accepted; tried again until {until}: isthmus remote doctor"))
    parts = [fields(pairs), instances(remote, session), waiting(remote, session), revocations(remote, session)]
    return "\n\n".join(part for part in parts if part)


def confirmed(remote: Json) -> str:
    if remote["trust"] == "shared":
        return "vouched for by the shared roots"
    return f"here: {cell(remote['confirmed_here'])}, there: {cell(remote['confirmed_there'])}"


def generation(remote: Json) -> str:
    earlier = remote.get("earlier") or []
    return f"number {remote['generation']}" + (f", {len(earlier)} before it are revoked" if earlier else "")


def instances(remote: Json, session: "Session") -> str:
    rows = [
        (each["instance"], age(each["last_seen"], session.now), each["reason"] if each["blocked_at"] else "no")
        for each in remote.get("instances") or ()
    ]
    return table([Column("INSTANCE"), Column("LAST CALL"), Column("BLOCKED")], rows, session.width) if rows else ""


def waiting(remote: Json, session: "Session") -> str:
    rows = [
        (
            f"{each['lane']}/{each['number']}",
            each["rpc"],
            age(each["created_at"], session.now),
            each["attempts"],
            f"refused for ever: {each['parked']}" if each["parked"] else each["error"],
        )
        for each in remote.get("waiting") or ()
    ]
    columns = [Column("NOT ACKNOWLEDGED"), Column("CALL"), Column("SINCE"), Column("ATTEMPTS")]
    return table([*columns, Column("LAST ANSWER", may_shrink=True)], rows, session.width) if rows else ""


def messages_text(rows: list[Json], session: "Session") -> str:
    columns = [Column("MESSAGE"), Column("CALL"), Column("SINCE"), Column("ATTEMPTS"), Column("NEXT")]
    shown = [
        (
            f"{each['lane']}/{each['number']}",
            each["rpc"],
            age(each["created_at"], session.now),
            each["attempts"],
            "parked" if each["parked"] else minute(each["next_at"]),
            f"refused for ever: {each['parked']}" if each["parked"] else each["error"],
        )
        for each in rows
    ]
    if not shown:
        return "nothing waits"
    return table([*columns, Column("LAST ANSWER", may_shrink=True)], shown, session.width)


def dropped_text(answer: Json, name: str) -> str:
    if answer["instead"] is None:
        return f"{name} is dropped"
    return f"{name} is dropped; a notice of how things are is sent under its number"


def revocations(remote: Json, session: "Session") -> str:
    rows = []
    for each in remote.get("revocations") or ():
        kind = next((name for name in ("instance", "fingerprint", "serial", "key") if each.get(name)), "")
        rows.append((kind, each.get(kind), minute(each["at"]), each["reason"]))
    columns = [Column("REVOKED"), Column("WHICH"), Column("AT"), Column("REASON", may_shrink=True)]
    return table(columns, rows, session.width) if rows else ""


def invitations_text(rows: list[Json], session: "Session") -> str:
    if not rows:
        return "no invitations: isthmus remote invite b.example"
    columns = [Column("ID"), Column("FOR"), Column("STATE"), Column("BY"), Column("EXPIRES")]
    shown = [
        (each["id"], each["domain"], each["state"], each["created_by"], minute(each["expires_at"])) for each in rows
    ]
    return table(columns, shown, session.width)


def accepted_text(answer: Json) -> str:
    remote, problem = answer["remote"], answer["problem"]
    domain = printable(remote["domain"])
    text = (
        f"The invitation of {domain} is accepted. The short code is\n\n  {printable(remote['short_code'])}\n\n"
        "Compare it with the one that isthmus remote show shows there, over a channel that you trust. If they are\n"
        f"the same, confirm it on both sides; here:\n\n  isthmus remote confirm {domain}"
    )
    if problem is not None:
        code = problem["remote_code"] or problem["code"]
        text += (
            f"\n\n{domain} could not be told yet ({printable(code)}: {printable(problem['detail'])}).\n"
            f"This is tried again by itself; isthmus remote doctor {domain} says what stands in the way."
        )
    return text


SIDES = {"ours": "on this side", "theirs": "on their side", "both": "on both sides", "dns": "in DNS", "": ""}


def examination(found: Json) -> str:
    """Each link ok, or what was seen, what was expected and what to do."""
    width = max((len(each["step"]) for each in found["findings"]), default=0)
    lines = []
    for each in found["findings"]:
        step = printable(each["step"]).ljust(width)
        lines.append(f"{'ok   ' if each['ok'] else 'FAULT'}  {step}  {printable(each['observed'])}".rstrip())
        if not each["ok"]:
            if each["expected"]:
                lines.append(f"       {' ' * width}  expected: {printable(each['expected'])}")
            side = SIDES.get(each["side"], "")
            where = f" ({side})" if side else ""
            lines.append(f"       {' ' * width}  what to do{where}: {printable(each['mend'])}")
    faults = sum(not each["ok"] for each in found["findings"])
    domain = printable(found["domain"])
    total = f"all links to {domain} are ok" if not faults else f"{faults} of {len(found['findings'])} links are broken"
    return "\n".join([*lines, "", total])
