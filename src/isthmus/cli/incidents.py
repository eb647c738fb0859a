"""`isthmus incident`: what was detected of misused identities, and its resolution."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.lookup import id_of, network_id, peer_path
from isthmus.cli.session import Session
from isthmus.cli.text import Column, age, fields, second, table
from isthmus.domain.mesh.incident import State, Type

app = noun("Incidents: copied agents, shared configs, tokens used twice.")

# Enough to tell two hosts apart; --json has all of it.
BEGINNING = 8
MACHINES = "MACHINE is the beginning of /etc/machine-id, BOOT of /proc/sys/kernel/random/boot_id."

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the incident.")]


class Which(StrEnum):
    """Which incidents a list shows."""

    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


@command(app, "list", "isthmus incident list --network office", options=LIST)
def list_all(
    session: Session,
    state: Annotated[Which, typer.Option(help="Only open ones, only resolved ones, or all.")] = Which.OPEN,
    network: Annotated[str | None, typer.Option(help="Only incidents of this network.")] = None,
    peer: Annotated[str | None, typer.Option(help="Only incidents of this peer.")] = None,
    type: Annotated[Type | None, typer.Option(help="Only incidents of this type.")] = None,
) -> None:
    """List incidents, newest first."""
    query = {
        "state": None if state is Which.ALL else str(state),
        "network": network and network_id(session.api, network),
        "peer": peer and peer_path(session.api, peer, network).rpartition("/")[2],
        "type": type and str(type),
    }
    found = session.api.items("/incidents", query)
    shown = {"items": found, "next": None}
    session.show(shown, lambda page: overview(page["items"], session, state))


@command(app, "show", "isthmus incident show 0190c6e2-5d0e-7c34-9d0f-0b6f3a1f2a11")
def show(session: Session, incident: Id) -> None:
    """Show an incident with its evidence."""
    session.show(session.api.get(path_of(incident)), lambda each: details(each, session.width))


@command(
    app, "resolve", "isthmus incident resolve 0190c6e2-5d0e-7c34-9d0f-0b6f3a1f2a11 --reason 'the copy is switched off'"
)
def resolve(
    session: Session,
    incident: Id,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
) -> None:
    """Resolve an incident: its peer returns to the network at once. End the misuse first, or it opens again."""
    answer = session.api.post(f"{path_of(incident)}/resolve", {"reason": reason})
    session.show(answer, lambda each: f"incident {each['id']} of {each['peer']['name']} is resolved")


def path_of(incident: str) -> str:
    found = id_of(incident)
    if found is None:
        raise Misuse(f"{incident!r} is no id of an incident", "isthmus incident list --state all shows them")
    return f"/incidents/{found}"


def overview(incidents: list[dict[str, Any]], session: Session, asked: Which) -> str:
    if not incidents:
        return "no open incidents; --state all lists past ones too" if asked is Which.OPEN else "no incidents"
    columns = [Column("ID"), Column("PEER"), Column("TYPE"), Column("STATE"), Column("DETECTED")]
    rows = [
        (each["id"], each["peer"]["name"], each["type"], standing(each), age(each["detected_at"], session.now))
        for each in incidents
    ]
    return table(columns, rows, session.width)


def standing(incident: dict[str, Any]) -> str:
    """What it means for the peer now."""
    if incident["state"] == State.OPEN and incident["blocks"]:
        return "blocks"
    return str(incident["state"])


def details(incident: dict[str, Any], width: int | None) -> str:
    pairs: list[tuple[str, object]] = [
        ("id", incident["id"]),
        ("peer", f"{incident['peer']['name']} of network {incident['network']['name']}"),
        ("type", incident["type"]),
        ("state", incident["state"]),
        ("blocks the peer", incident["blocks"]),
        ("detected", f"{second(incident['detected_at'])} UTC"),
    ]
    if incident["state"] == State.RESOLVED:
        pairs += [("resolved", f"{second(incident['resolved_at'])} UTC"), ("resolved by", incident["resolved_by"])]
        pairs.append(("reason", incident["reason"]))
    elif incident["blocks"]:
        pairs.append(("to end it", f"isthmus incident resolve {incident['id']} --reason TEXT"))
    return f"{fields(pairs)}\n\n{evidence_text(incident['evidence'], width)}"


def evidence_text(evidence: dict[str, Any], width: int | None) -> str:
    """Who was seen where and when, in the order of time for each observer."""
    if "enrolled_key" in evidence:
        token = ("token", f"{evidence['token']}…")
        shown = ("enrolled_key", "presented_key", "hostname", "source")
        return fields([token, *((name.replace("_", " "), evidence[name]) for name in shown)])
    if voices := evidence.get("voices"):
        columns = [Column(title) for title in ("TIME (UTC)", "HEARD FROM", "MACHINE", "BOOT", "STARTED (UTC)")]
        return f"{table(columns, map(_voice, voices), width)}\n\n{MACHINES}"
    sightings = [
        (second(each["at"]), each["place"], observation["name"])
        for observation in evidence.get("observations", ())
        for each in observation["sightings"]
    ]
    return table([Column("TIME (UTC)"), Column("SEEN AT"), Column("BY")], sightings, width)


def _voice(voice: dict[str, Any]) -> tuple[object, ...]:
    process = voice["process"] or {}
    started = process and second(datetime.fromtimestamp(process["started_at"], UTC).isoformat())
    machine, boot = (process.get(name, "")[:BEGINNING] for name in ("machine_id", "boot_id"))
    return second(voice["at"]), voice["source"], machine, boot, started
