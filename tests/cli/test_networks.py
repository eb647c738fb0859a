"""The verbs of `isthmus network`, against a server that answers as told."""

import time

import pytest

from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, PEER_ID, a_network, a_peer, page

NETWORKS = "GET /api/v1/networks?limit=500"
NAMED = "GET /api/v1/networks?name=office&limit=500"
ONE = f"/api/v1/networks/{NETWORK_ID}"


def test_create_sends_only_what_was_given_and_prints_id_cidrs_and_capacity(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/networks", a_network(), status=201)
    shown = isthmus("network", "create", "office", "--cidr", "10.20.0.0/24")
    assert server.bodies_of("POST") == [{"name": "office", "cidr_v4": "10.20.0.0/24"}]
    for value in (NETWORK_ID, "10.20.0.0/24", "fd12:3456:789a:1::/64", "254", "250"):
        assert value in shown.out.split()


def test_json_is_the_object_of_the_api(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/networks", a_network(), status=201)
    assert isthmus("network", "create", "office", "--json").json == a_network()


def test_list_follows_the_cursor_to_the_last_page(isthmus: Run, server: Script) -> None:
    server.on(NETWORKS, page(a_network(), then="abc"))
    server.on(NETWORKS + "&after=abc", page(a_network(name="lab")))
    shown = isthmus("network", "list", "--json")
    assert [each["name"] for each in shown.json["items"]] == ["office", "lab"]
    assert len(isthmus("network", "list").out.splitlines()) == 3


def test_a_list_line_fits_into_80_columns(isthmus: Run, server: Script) -> None:
    server.on(NETWORKS, page(a_network(), a_network(name="lab", cidr_v4=None, capacity={"v4": None, "v6": v6()})))
    lines = isthmus("network", "list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["office", "10.20.0.0/24", "fd12:3456:789a:1::/64", "3", "250"]
    assert lines[2].split() == ["lab", "-", "fd12:3456:789a:1::/64", "3", "1.8e+19"]


def v6() -> dict[str, int]:
    counts: dict[str, int] = a_network()["capacity"]["v6"]
    return counts


def test_an_empty_list_says_how_to_fill_it(isthmus: Run, server: Script) -> None:
    server.on(NETWORKS, page())
    assert "isthmus network create" in isthmus("network", "list").out


def test_watch_asks_again_until_interrupted(isthmus: Run, server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    server.on(NETWORKS, page(a_network()))
    shown = isthmus("network", "list", "--watch", "--json")
    assert shown.code == 130
    assert pauses == [2, 2, 2]
    assert len(shown.out.splitlines()) == 3
    assert shown.err == ""


@pytest.mark.parametrize("name", ["office", NETWORK_ID, NETWORK_ID.upper()])
def test_a_network_is_named_by_name_or_id(name: str, isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    server.on(f"GET {ONE}", a_network())
    assert isthmus("network", "show", name, "--json").json["id"] == NETWORK_ID


def test_an_unknown_network_is_refused_with_where_to_look(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/networks?name=nowhere&limit=500", page())
    shown = isthmus("network", "show", "nowhere")
    assert shown.code == 1
    assert "there is no network nowhere" in shown.err
    assert "isthmus network list" in shown.err


def test_update_names_the_version_that_it_read_and_lists_who_needs_a_config(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    server.on(f"GET {ONE}", a_network(), headers={"ETag": '"7"'})
    server.on(f"PATCH {ONE}", a_network(reissue=[{"id": PEER_ID, "name": "phone"}]))
    shown = isthmus("network", "update", "office", "--cidr", "10.30.0.0/24", "--force", "--keepalive", "0")
    change = server.asked[-1]
    assert change.headers["If-Match"] == '"7"'
    assert change.body == {"cidr_v4": "10.30.0.0/24", "keepalive": 0, "force": True}
    assert "  isthmus peer regenerate phone --network office" in shown.out.splitlines()


@pytest.mark.parametrize(
    ("given", "sent", "upstreams"),
    [
        (["--dns-upstream", "9.9.9.9", "--dns-upstream", "2620:fe::fe"], True, ["9.9.9.9", "2620:fe::fe"]),
        (["--dns-upstream", ""], True, []),
        (["--mtu", "1400"], False, []),
    ],
)
def test_servers_for_other_names_are_given_taken_away_or_left(
    given: list[str], sent: bool, upstreams: list[str], isthmus: Run, server: Script
) -> None:
    server.on(NAMED, page(a_network()))
    server.on(f"GET {ONE}", a_network(), headers={"ETag": '"7"'})
    server.on(f"PATCH {ONE}", a_network(dns_upstreams=upstreams))
    shown = isthmus("network", "update", "office", *given)
    assert server.asked[-1].body == ({"dns_upstreams": upstreams} if sent else {"mtu": 1400})
    assert (", ".join(upstreams) or "those of the jump peers' hosts") in shown.out


def test_delete_passes_force_on_only_if_given(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    server.on(f"DELETE {ONE}", b"", status=204)
    server.on(f"DELETE {ONE}?force=true", b"", status=204)
    assert isthmus("network", "delete", "office").out == "network office is deleted\n"
    assert isthmus("network", "delete", "office", "--force", "--json").json == {"deleted": NETWORK_ID}
    assert [each.path for each in server.asked if each.method == "DELETE"] == [ONE, f"{ONE}?force=true"]


def test_suggest_prints_the_cidr_alone(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/network-suggestion?peers=500", {"prefix": 23, "cidr_v4": "10.0.2.0/23"})
    assert isthmus("network", "suggest", "--peers", "500").out == "10.0.2.0/23\n"


def test_reservations_are_made_listed_and_given_back(isthmus: Run, server: Script) -> None:
    row = {"address": "fd00::5", "note": "printer"}
    server.on(NAMED, page(a_network()))
    server.on(f"POST {ONE}/reservations", row, status=201)
    server.on(f"GET {ONE}/reservations?limit=500", page(row))
    server.on(f"DELETE {ONE}/reservations/fd00%3A%3A5", b"", status=204)
    assert isthmus("network", "reserve", "office", "fd00::5", "--note", "printer").code == 0
    assert server.bodies_of("POST") == [row]
    assert isthmus("network", "reservations", "office").out.splitlines()[1].split() == ["fd00::5", "printer"]
    assert isthmus("network", "unreserve", "office", "fd00::5").out == "fd00::5 is free again in office\n"


def test_what_a_user_types_cannot_leave_its_place_in_the_path(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    isthmus("network", "unreserve", "office", "../../../tokens?x=")
    assert server.asked[-1].path == f"{ONE}/reservations/..%2F..%2F..%2Ftokens%3Fx%3D"


def test_capacity_counts_both_families(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    server.on(f"GET {ONE}/capacity", a_network()["capacity"])
    lines = isthmus("network", "capacity", "office").out.splitlines()
    assert lines[1].split() == ["IPv4", "254", "3", "1", "0", "250"]
    assert lines[2].split()[0] == "IPv6"


def test_the_ingress_of_a_network_is_placed_shown_and_withdrawn(isthmus: Run, server: Script) -> None:
    placed = {"peer": {"id": PEER_ID, "name": "gw"}, "addresses": ["fd12::1", "10.20.0.1"], "port": 8443}
    server.on(NAMED, page(a_network()))
    server.on(f"GET /api/v1/peers?name=gw&network={NETWORK_ID}&limit=500", page(a_peer(name="gw")))
    server.on(f"PUT {ONE}/ingress", placed)
    server.on(f"GET {ONE}/ingress", placed)
    server.on(f"DELETE {ONE}/ingress", b"", status=204)
    shown = isthmus("network", "ingress", "office", "--peer", "gw")
    assert server.bodies_of("PUT") == [{"peer_id": PEER_ID}]
    for value in ("gw", "[fd12::1]:8443", "10.20.0.1:8443"):
        assert value in shown.out
    assert isthmus("network", "ingress", "office", "--json").json == placed
    assert "no ingress listens in office" in isthmus("network", "ingress", "office", "--off").out
    assert "goes with --peer" in isthmus("network", "ingress", "office", "--port", "443").err
