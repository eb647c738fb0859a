"""Bulks, groups, templates and the history of configs over the API, on both databases."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from isthmus.server.adapters.api.template_views import TemplateBody
from isthmus.server.adapters.api.views import NetworkBody
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.server import Server


@pytest.fixture
def admin(either_server: Server) -> Iterator[httpx2.Client]:
    with either_server.client(either_server.token("read", "write", "admin")) as client:
        yield client


def bulk(admin: httpx2.Client, network: Any, *operations: dict[str, Any], dry_run: bool = False) -> httpx2.Response:
    return admin.post(f"/networks/{network['id']}/peers/bulk", json={"operations": operations, "dry_run": dry_run})


def create(name: str, **fields: Any) -> dict[str, Any]:
    return {"action": "create", "name": name} | fields


def names_in(admin: httpx2.Client, network: Any, **query: Any) -> list[str]:
    found = admin.get("/peers", params={"network": network["id"], **query}).raise_for_status().json()["items"]
    return [peer["name"] for peer in found]


def newest(admin: httpx2.Client, limit: int) -> list[tuple[str, str]]:
    rows = admin.get("/audit", params={"limit": limit}).raise_for_status().json()["items"]
    return [(row["action"], row["outcome"]) for row in rows]


def test_a_bulk_answers_row_by_row_with_secrets_that_work(either_server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    a_peer(admin, network, name="old")
    answer = bulk(
        admin,
        network,
        create("gw", kind="jump", endpoint="198.51.100.7:51820"),
        create("phone", kind="static"),
        {"action": "update", "name": "old", "new_name": "new", "groups": ["staff"]},
    )
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    gw, phone, new = answer.json()["rows"]
    assert [row["result"] for row in (gw, phone, new)] == ["created", "created", "updated"]
    assert "PrivateKey = " in phone["config"]["text"]
    assert (new["enrollment"], new["config"]) == (None, None)
    assert Agent.enrolled(either_server, {"enrollment": gw["enrollment"], "peer": gw["peer"]}).token
    assert newest(admin, 4)[1:] == [("peer.update", "done"), ("peer.create", "done"), ("peer.create", "done")]


def test_one_bad_row_undoes_all_and_each_is_named_with_its_place(admin: httpx2.Client) -> None:
    network = a_network(admin)
    before = admin.get(f"/networks/{network['id']}").json()
    good = [create("one"), create("two", kind="static")]
    bad = [create("gw", kind="jump"), {"action": "delete", "name": "nobody"}, create("two")]
    answer = bulk(admin, network, *good, *bad[:2])
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "bulk_refused"
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [
        ("/operations/2/endpoint", "validation_failed"),
        ("/operations/3", "not_found"),
    ]
    assert bulk(admin, network, *good, bad[2]).json()["errors"][0]["pointer"] == "/operations/2/name"
    assert newest(admin, 2) == [("POST /api/v1/networks/{network_id}/peers/bulk", "denied")] * 2
    assert admin.get(f"/networks/{network['id']}").json() == before
    assert names_in(admin, network) == []
    # Types are checked before rules, and of all rows too.
    wrong = bulk(admin, network, *[create(f"p{number}", isolated="maybe") for number in range(40)]).json()
    assert [error["pointer"] for error in wrong["errors"]] == [f"/operations/{n}/isolated" for n in range(40)]
    assert len(bulk(admin, network, *good, dry_run=True).json()["rows"]) == 2
    assert names_in(admin, network) == []
    assert bulk(admin, network, *good).status_code == 200
    assert names_in(admin, network) == ["one", "two"]


@pytest.mark.case("SEED-114")
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (create("bad", kind="jump"), "endpoint"),
        (create("bad", isolated="maybe"), "isolated"),
        (create("bad", kind="static", public_key="no key"), "public_key"),
        (create("peer-3"), "name"),
    ],
    ids=["a rule", "a type", "a format", "a name twice"],
)
def test_one_invalid_peer_among_200_is_named_by_its_place_and_without_it_all_are_made(
    admin: httpx2.Client, wrong: dict[str, Any], field: str
) -> None:
    admin.timeout = httpx2.Timeout(120)
    network = a_network(admin)
    good = [create(f"peer-{number}") for number in range(199)]
    before = [admin.get(path).json() for path in (f"/networks/{network['id']}", f"/peers?network={network['id']}")]
    start = admin.get("/audit", params={"limit": 1}).json()["items"][0]["number"]

    def rows() -> list[Any]:
        found = admin.get("/audit", params={"limit": 1000}).raise_for_status().json()["items"]
        return [row for row in found if row["number"] > start]

    answer = bulk(admin, network, *good[:120], wrong, *good[120:])
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/operations/120/{field}"]
    assert [
        admin.get(path).json() for path in (f"/networks/{network['id']}", f"/peers?network={network['id']}")
    ] == before
    assert [(row["outcome"], row["reason"]) for row in rows()] == [("denied", "validation_failed")]

    start += 1
    made = bulk(admin, network, *good).raise_for_status().json()["rows"]
    assert [row["peer"]["name"] for row in made] == [peer["name"] for peer in good]
    ids = {row["peer"]["id"] for row in made}
    assert {(row["action"], row["outcome"]) for row in rows()} == {("peer.create", "done")}
    assert (len(rows()), {row["subject"] for row in rows()}) == (199, ids)


def test_a_thousand_rows_are_taken_and_more_are_not(admin: httpx2.Client) -> None:
    admin.timeout = httpx2.Timeout(120)
    network = a_network(admin, cidr_v4="10.128.0.0/20")
    rows = [create(f"peer-{number}", owner="o" * 100, labels={"site": "north" * 20}) for number in range(1000)]
    assert bulk(admin, network, *rows, create("more")).status_code == 422
    assert len(bulk(admin, network, *rows, dry_run=True).json()["rows"]) == 1000
    too_large = [create(f"peer-{number}", labels={f"l{n}": "x" * 120 for n in range(10)}) for number in range(1000)]
    assert bulk(admin, network, *too_large).status_code == 413


def test_peers_are_found_by_group_and_label(admin: httpx2.Client) -> None:
    network, other = a_network(admin), a_network(admin)
    bulk(
        admin,
        network,
        create("a", groups=["staff", "berlin"], labels={"site": "north", "a-b": "x y"}),
        create("b", groups=["staff"], labels={"site": "north"}),
        create("c", labels={"site": "south=1"}),
    ).raise_for_status()
    a_peer(admin, other, name="a", groups=["staff"])
    assert names_in(admin, network, group="staff") == ["a", "b"]
    assert names_in(admin, network, group="staff", label=["site=north", "a-b=x y"]) == ["a"]
    assert names_in(admin, network, label="site=south=1") == ["c"]
    assert names_in(admin, network, label="site=%") == []
    for wrong in ("site", "=x", "site=\x00", "S=x"):
        assert admin.get("/peers", params={"label": wrong}).status_code == 422
    groups = admin.get("/groups", params={"network": network["id"]}).json()["items"]
    assert [(group["name"], group["peers"]) for group in groups] == [("berlin", 1), ("staff", 2)]
    seen, after = [], None
    while True:
        page = admin.get("/groups", params={"limit": 1} | ({"after": after} if after else {})).json()
        seen += [(group["network"]["name"], group["name"]) for group in page["items"]]
        after = page["next"]
        if after is None:
            break
    mine = [pair for pair in seen if pair[0] in {network["name"], other["name"]}]
    assert mine == [(network["name"], "berlin"), (network["name"], "staff"), (other["name"], "staff")]
    peer = admin.get("/peers", params={"network": other["id"]}).json()["items"][0]
    changed = admin.patch(f"/peers/{peer['id']}", json={"groups": []}, headers={"If-Match": f'"{peer["version"]}"'})
    assert (changed.json()["groups"], changed.json()["version"]) == ([], 2)
    assert admin.get("/groups", params={"network": other["id"]}).json()["items"] == []
    refused = admin.patch(f"/peers/{peer['id']}", json={"groups": ["ok", "Not OK"]})
    assert refused.json()["errors"][0]["pointer"] == "/groups/1"


@pytest.mark.case("SEED-113")
def test_a_network_takes_from_its_template_what_it_is_not_given(admin: httpx2.Client) -> None:
    limits = {"address_changes": 20, "port_changes": 9}
    settings = {"limits": limits, "dns_upstreams": ["9.9.9.9"], "key_max_age": 86400, "direct_paths": "off"}
    settings |= {
        "mtu": 1380,
        "listen_port": 51999,
        "keepalive": 0,
        "cidr_prefix": 24,
        "cidr_pool": "10.250.0.0/16",
        "domain_suffix": "x.test",
    }
    name, office = a_name("template"), a_name("net")
    made = admin.post("/network-templates", json={"name": name} | settings).raise_for_status()
    assert made.json()["settings"] == settings
    network = (
        admin.post("/networks", json={"name": office, "template": name, "keepalive": 30, "limits": {"port_changes": 7}})
        .raise_for_status()
        .json()
    )
    assert (network["mtu"], network["keepalive"], network["domain"]) == (1380, 30, f"{office}.x.test")
    assert network["cidr_v4"].startswith("10.250.")
    assert (network["limits"]["address_changes"], network["limits"]["port_changes"]) == (20, 7)
    assert (network["dns_upstreams"], network["key_max_age"]) == (["9.9.9.9"], 86400)
    assert network["listen_port"] == 51999
    second = admin.post("/networks", json={"name": a_name("net"), "template": name}).raise_for_status().json()
    taken = ("mtu", "listen_port", "keepalive", "dns_upstreams", "key_max_age", "direct_paths")
    assert {each: second[each] for each in taken} == {each: settings[each] for each in taken}
    before = [admin.get(f"/networks/{each['id']}").json() for each in (network, second)]
    path = f"/network-templates/{made.json()['id']}"
    stale = admin.patch(path, json={"mtu": 1400}, headers={"If-Match": '"9"'})
    assert stale.status_code == 412
    change: dict[str, Any] = {
        "mtu": None,
        "listen_port": 51000,
        "dns_upstreams": [],
        "domain_suffix": "y.test",
        "direct_paths": "auto",
    }
    changed = admin.patch(path, json=change, headers={"If-Match": made.headers["etag"]}).raise_for_status()
    assert "mtu" not in changed.json()["settings"]
    assert [admin.get(f"/networks/{each['id']}").json() for each in (network, second)] == before
    assert admin.post("/network-templates", json={"name": name}).json()["errors"][0]["pointer"] == "/name"
    missing = admin.post("/networks", json={"name": a_name("net"), "template": "nobody"})
    assert missing.json()["errors"][0]["pointer"] == "/template"
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_past_configs_are_listed_shown_and_compared(either_server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.60.0.0/24")
    Agent.enrolled(either_server, a_peer(admin, network, name="gw", kind="jump"))
    phone = a_peer(admin, network, name="phone", kind="static")["peer"]
    start = admin.get(f"/networks/{network['id']}").json()["revision"]
    admin.patch(f"/networks/{network['id']}", json={"mtu": 1300}).raise_for_status()
    admin.patch(f"/networks/{network['id']}", json={"cidr_v4": "10.61.0.0/24", "force": True}).raise_for_status()
    history = f"/peers/{phone['id']}/config-revisions"
    listed = admin.get(history).json()
    assert [(item["event"], item["revision"]) for item in listed["items"]] == [
        ("network.renumbered", start + 2),
        ("network.changed", start + 1),
        ("peer.created", start),
    ]
    assert (listed["begins"], listed["next"]) == (1, None)
    page = admin.get(history, params={"limit": 1}).json()
    assert admin.get(history, params={"before": page["next"]}).json()["items"] == listed["items"][1:]
    old = admin.get(f"{history}/{start}").json()
    assert (old["mtu"], old["addresses"][0], old["neighbours"][0]["name"]) == (1420, "10.60.0.2", "gw")
    assert "PrivateKey" not in old["text"]
    diff = admin.get(f"{history}/{start}/diff").json()
    assert (diff["start"], diff["to"]) == (start, start + 2)
    assert {"-MTU = 1420", "+MTU = 1300"} <= set(diff["diff"].splitlines())
    assert admin.get(f"{history}/{start}/diff", params={"to": start}).json()["diff"] == ""
    for wrong in (start - 1, start + 3):
        assert admin.get(f"{history}/{wrong}").status_code == 404


@pytest.mark.case("SEED-115")
def test_five_revisions_of_a_config_are_numbered_kept_and_compared_with_their_causes(
    either_server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, cidr_v4="10.62.0.0/24", direct_paths="off")
    gw = Agent.enrolled(either_server, a_peer(admin, network, name="gw", kind="jump"))
    made = a_peer(admin, network, name="phone", kind="static", keep_private_key=True)
    phone, private = made["peer"], made["config"]["text"].partition("PrivateKey = ")[2].split()[0]
    history, start = (
        f"/peers/{phone['id']}/config-revisions",
        admin.get(f"/networks/{network['id']}").json()["revision"],
    )
    spare = a_peer(admin, network, name="spare", kind="jump", endpoint="198.51.100.8:51820")

    def peer(one: str, **fields: Any) -> None:
        admin.patch(f"/peers/{one}", json=fields).raise_for_status()

    first = admin.get(f"/networks/{network['id']}").json()["revision"]
    assert first == start + 1
    peer(gw.peer_id, endpoint="203.0.113.9:51820")
    Agent.enrolled(either_server, spare)
    peer(spare["peer"]["id"], name="gate")
    admin.patch(f"/networks/{network['id']}", json={"mtu": 1300}).raise_for_status()
    admin.patch(f"/networks/{network['id']}", json={"cidr_v4": "10.63.0.0/24", "force": True}).raise_for_status()

    listed = admin.get(history).raise_for_status().json()["items"]
    # The spare that has not enrolled is in nobody's config, so its own beginning is no revision of this one.
    assert [(each["revision"], each["event"], each["subject"]) for each in reversed(listed)] == [
        (start, "peer.created", "phone"),
        (first + 1, "peer.changed", "gw"),
        (first + 2, "peer.enrolled", "spare"),
        (first + 3, "peer.changed", "spare"),
        (first + 4, "network.changed", network["name"]),
        (first + 5, "network.renumbered", network["name"]),
    ]
    numbers = range(start, first + 6)
    shown = {number: admin.get(f"{history}/{number}").raise_for_status().json() for number in numbers}
    assert [each["revision"] for each in shown.values()] == list(numbers)

    diff = admin.get(f"{history}/{start}/diff", params={"to": first + 5}).raise_for_status().json()
    assert diff["causes"] == listed[:5]
    times = [each["at"] for each in diff["causes"]]
    assert times == sorted(times, reverse=True)
    lines = diff["diff"].splitlines()
    assert {"-Endpoint = 198.51.100.7:51820", "+Endpoint = 203.0.113.9:51820", "+# Name = gate"} <= set(lines)
    assert any(line.startswith("-Address = 10.62.") for line in lines)
    assert any(line.startswith("+Address = 10.63.") for line in lines)
    part = admin.get(f"{history}/{first + 2}/diff", params={"to": first + 3}).raise_for_status().json()
    assert part["causes"] == [listed[2]]
    assert {"-# Name = spare", "+# Name = gate"} <= set(part["diff"].splitlines())
    assert admin.get(f"{history}/{first}/diff", params={"to": first}).json()["causes"] == []

    # What comes later changes none of them.
    peer(gw.peer_id, name="gateway", endpoint="203.0.113.10:51820")
    admin.delete(f"/peers/{spare['peer']['id']}").raise_for_status()
    assert {number: admin.get(f"{history}/{number}").json() for number in numbers} == shown
    assert admin.get(history).json()["items"][2:] == listed
    told = json.dumps([shown, diff, part, listed])
    for secret in (private, "PrivateKey", gw.session, gw.token):
        assert secret not in told


def test_a_template_can_hold_every_setting_of_a_network() -> None:
    of_one_network = {"name", "cidr_v4", "cidr_v6", "domain", "template"}
    assert NetworkBody.model_fields.keys() - of_one_network <= TemplateBody.model_fields.keys()
