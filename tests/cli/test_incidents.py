"""The verbs of `isthmus incident`, against a server that answers as told."""

from typing import Any

import pytest

from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, PEER_ID, a_network, a_peer, a_problem, page

INCIDENT_ID = "01890000-0000-7000-8000-000000000004"
ONE = f"/api/v1/incidents/{INCIDENT_ID}"


def an_incident(**changes: Any) -> dict[str, Any]:
    def voice(at: str, source: str, machine: str) -> dict[str, Any]:
        return {"at": at, "source": source, "process": {"machine_id": machine, "boot_id": "b", "started_at": 1}}

    voices = [voice("2026-11-23T20:00:00Z", "203.0.113.9", "own"), voice("2026-11-23T20:00:05Z", "192.0.2.7", "copy")]
    return {
        "id": INCIDENT_ID,
        "network": {"id": NETWORK_ID, "name": "office"},
        "peer": {"id": PEER_ID, "name": "laptop"},
        "type": "session_conflict",
        "state": "open",
        "blocks": True,
        "detected_at": "2026-11-23T20:00:05Z",
        "evidence": {"voices": voices},
        "resolved_at": None,
        "resolved_by": None,
        "reason": None,
    } | changes


def test_list_shows_what_is_open_and_whom_it_blocks(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/incidents?state=open&limit=500", page(an_incident(), an_incident(blocks=False)))
    lines = isthmus("incident", "list").out.splitlines()
    assert lines[1].split()[:4] == [INCIDENT_ID, "laptop", "session_conflict", "blocks"]
    assert lines[2].split()[3] == "open"
    assert isthmus("incident", "list", "--json").json == page(an_incident(), an_incident(blocks=False))


def test_list_filters_by_names(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/networks?name=office&limit=500", page(a_network()))
    server.on(f"GET /api/v1/peers?name=laptop&network={NETWORK_ID}&limit=500", page(a_peer()))
    query = f"network={NETWORK_ID}&peer={PEER_ID}&type=shared_config&limit=500"
    server.on(f"GET /api/v1/incidents?{query}", page())
    arguments = ("--network", "office", "--peer", "laptop", "--type", "shared_config", "--state", "all")
    assert isthmus("incident", "list", *arguments).out == "no incidents\n"


def test_an_empty_list_of_open_ones_says_that_there_may_be_others(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/incidents?state=open&limit=500", page())
    assert isthmus("incident", "list").out == "no open incidents; --state all lists past ones too\n"


def test_a_limit_that_does_not_exist_is_told_before_the_server_is_asked(isthmus: Run) -> None:
    shown = isthmus("network", "update", "office", "--limit", "adress_changes=3")
    assert (shown.code, "use one of: address_changes, " in shown.err) == (2, True)


def test_an_update_of_a_network_without_a_change_is_no_update(isthmus: Run) -> None:
    shown = isthmus("network", "update", "office")
    assert (shown.code, "nothing to change" in shown.err) == (2, True)


def test_show_tells_who_was_heard_where_and_when(isthmus: Run, server: Script) -> None:
    server.on(f"GET {ONE}", an_incident())
    shown = isthmus("incident", "show", INCIDENT_ID).out
    for part in ("laptop of network office", "session_conflict", "203.0.113.9", "192.0.2.7"):
        assert part in shown
    line = next(line for line in shown.splitlines() if "192.0.2.7" in line)
    assert line.split("  ", 2)[:2] == ["2026-11-23 20:00:05", "192.0.2.7"]
    assert line.split()[3:] == ["copy", "b", "1970-01-01", "00:00:01"]


@pytest.mark.parametrize(
    ("evidence", "parts"),
    [
        (
            {
                "changing": "address",
                "observations": [
                    {
                        "observer": PEER_ID,
                        "name": "gw",
                        "sightings": [{"at": "2026-11-23T20:00:00Z", "place": "192.0.2.7:1"}],
                    }
                ],
            },
            ("gw", "192.0.2.7:1"),
        ),
        (
            {
                "token": "isthmus-enroll-abc",
                "enrolled_key": "k1",
                "presented_key": "k2",
                "hostname": "evil\x1b[2J",
                "source": "192.0.2.8",
            },
            ("isthmus-enroll-abc…", "k1", "k2", "192.0.2.8"),
        ),
    ],
)
def test_every_kind_of_evidence_is_shown(
    isthmus: Run, server: Script, evidence: dict[str, Any], parts: tuple[str, ...]
) -> None:
    server.on(f"GET {ONE}", an_incident(evidence=evidence))
    shown = isthmus("incident", "show", INCIDENT_ID).out
    assert "\x1b" not in shown
    for part in parts:
        assert part in shown


def test_resolve_sends_the_reason_and_names_the_peer(isthmus: Run, server: Script) -> None:
    resolved = an_incident(state="resolved", resolved_by="user:ada", reason="a drill")
    server.on(f"POST {ONE}/resolve", resolved)
    shown = isthmus("incident", "resolve", INCIDENT_ID, "--reason", "a drill")
    assert server.bodies_of("POST") == [{"reason": "a drill"}]
    assert shown.out == f"incident {INCIDENT_ID} of laptop is resolved\n"
    server.on(f"GET {ONE}", resolved)
    assert "user:ada" in isthmus("incident", "show", INCIDENT_ID).out


def test_resolve_needs_a_reason_and_an_id(isthmus: Run, server: Script) -> None:
    assert isthmus("incident", "resolve", INCIDENT_ID).code == 2
    shown = isthmus("incident", "resolve", "laptop", "--reason", "x")
    assert (shown.code, "isthmus incident list" in shown.err) == (2, True)
    server.on(f"POST {ONE}/resolve", a_problem(detail="is resolved already", status=409, errors=[]), status=409)
    refused = isthmus("incident", "resolve", INCIDENT_ID, "--reason", "x")
    assert (refused.code, "is resolved already" in refused.err) == (1, True)


def test_a_blocked_peer_says_so_and_where_to_look(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/peers?limit=500", page(a_peer(blocked=True)))
    assert isthmus("peer", "list").out.splitlines()[1].split()[-1] == "blocked"
    server.on(f"GET /api/v1/peers/{PEER_ID}", a_peer(blocked=True))
    assert "isthmus incident list --peer laptop" in isthmus("peer", "show", PEER_ID).out


def test_limits_are_given_one_by_one(isthmus: Run, server: Script) -> None:
    limits = {"address_changes": 20, "return_window": 60}
    server.on("POST /api/v1/networks", a_network(limits=limits), status=201)
    given = ("--limit", "address_changes=20", "--limit", "return_window=60")
    shown = isthmus("network", "create", "office", *given)
    assert server.bodies_of("POST") == [{"name": "office", "limits": limits}]
    assert "address_changes=20, return_window=60" in shown.out
    server.on(f"GET /api/v1/networks/{NETWORK_ID}", a_network(), headers={"etag": '"1"'})
    server.on(f"PATCH /api/v1/networks/{NETWORK_ID}", a_network(limits=limits))
    isthmus("network", "update", NETWORK_ID, *given)
    assert server.bodies_of("PATCH") == [{"limits": limits}]
    for wrong in ("address_changes", "=3", "address_changes=many", "address_changes=-1"):
        assert isthmus("network", "create", "office", "--limit", wrong).code == 2
