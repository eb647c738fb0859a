"""Networks and peers over the API: refusals that change nothing, versions, pages, configs by kind."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from isthmus.protocol import agent as wire
from isthmus.wireguard.conf_reader import parse
from tests.api.agent import Agent, a_name, a_network, a_peer, a_public_key
from tests.server import Server


@pytest.fixture(scope="module")
def either_admin(either_server: Server) -> Iterator[httpx2.Client]:
    with either_server.client(either_server.token("read", "write", "admin")) as client:
        yield client


def state_of(admin: httpx2.Client) -> Any:
    """All networks with their capacities and all peers, without what agents report."""
    networks = admin.get("/networks", params={"limit": 1000}).json()["items"]
    peers = admin.get("/peers", params={"limit": 1000}).json()["items"]
    for peer in peers:
        del peer["status"]
    return networks, peers


def newest(admin: httpx2.Client) -> Any:
    return admin.get("/audit", params={"limit": 1}).json()["items"][0]


def refused(admin: httpx2.Client, method: str, path: str, body: Any, *, status: int = 422) -> Any:
    """The problem of a refused call, which changed nothing and left one audit row."""
    before, last = state_of(admin), newest(admin)["number"]
    answer = admin.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    row = newest(admin)
    assert row["number"] == last + 1
    assert (row["outcome"], row["reason"]) == ("denied", answer.json()["code"])
    assert row["request_id"] == answer.json()["request_id"]
    assert state_of(admin) == before
    return answer.json()


def pointers(problem: Any) -> list[str]:
    return [item["pointer"] for item in problem["errors"]]


@pytest.mark.case("SEED-055")
def test_wrong_cidrs_are_refused_with_a_pointer_and_the_right_one_is_taken(admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.1.0.0/24")
    for _ in range(10):
        a_peer(admin, network)
    path = f"/networks/{network['id']}"
    for wrong in ("10.2.0.1/24", "fd00::/64", "224.0.0.0/24", "0.0.0.0/0", "10.1.0.128/25"):
        problem = refused(admin, "POST", "/networks", {"name": a_name("net"), "cidr_v4": wrong})
        assert (problem["code"], pointers(problem)) == ("validation_failed", ["/cidr_v4"]), wrong
    a_network(admin, cidr_v4="10.3.0.0/24")
    for wrong in ("10.2.0.1/24", "fd00::/64", "224.0.0.0/24", "0.0.0.0/0", "10.3.0.0/25", "10.2.0.0/29"):
        problem = refused(admin, "PATCH", path, {"cidr_v4": wrong})
        assert (problem["code"], pointers(problem)) == ("validation_failed", ["/cidr_v4"]), wrong

    assert admin.patch(path, json={"cidr_v4": "10.2.0.0/24"}).json()["cidr_v4"] == "10.2.0.0/24"
    assert a_network(admin, cidr_v4="10.4.0.0/24")["cidr_v4"] == "10.4.0.0/24"


@pytest.mark.case("MESH-002")
def test_an_update_with_a_bad_field_changes_nothing(either_admin: httpx2.Client) -> None:
    admin = either_admin
    network = a_network(admin, cidr_v4="10.5.0.0/24")
    peer = a_peer(admin, network)["peer"]
    for body, pointer in (
        ({"mtu": 1300, "keepalive": -1}, "/keepalive"),
        ({"mtu": 1300, "name": "Not A Name"}, "/name"),
        ({"mtu": 1300, "cidr_v4": "10.5.0.9/24"}, "/cidr_v4"),
        ({"mtu": 1300, "dns_upstreams": ["9.9.9.9", "dns.example.com"]}, "/dns_upstreams/1"),
        ({"mtu": 1300, "dns_upstreams": ["127.0.0.53"]}, "/dns_upstreams/0"),
        ({"mtu": 1300, "dns_upstreams": ["9.9.9.9"] * 9}, "/dns_upstreams"),
        ({"mtu": 1300, "unknown": 1}, "/unknown"),
    ):
        problem = refused(admin, "PATCH", f"/networks/{network['id']}", body)
        assert (problem["code"], pointers(problem)) == ("validation_failed", [pointer])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"owner": "ada", "name": "Not A Name"}, "/name"),
        ({"owner": "ada", "additional_allowed_ips": ["10.5.0.0/25"]}, "/additional_allowed_ips/0"),
        ({"owner": "ada", "isolated": "yes"}, "/isolated"),
        ({"owner": "ada", "kind": "jump"}, "/kind"),
    ]
    for body, pointer in wrong:
        problem = refused(admin, "PATCH", f"/peers/{peer['id']}", body)
        assert (problem["code"], pointers(problem)) == ("validation_failed", [pointer])

    assert admin.patch(f"/networks/{network['id']}", json={"mtu": 1300}).json()["mtu"] == 1300
    assert admin.patch(f"/peers/{peer['id']}", json={"owner": "ada"}).json()["owner"] == "ada"


def test_servers_for_other_names_are_kept_in_their_order_and_told_to_jump_peers_alone(
    server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, dns_upstreams=["2620:FE::FE", "9.9.9.9", "9.9.9.9"])
    assert network["dns_upstreams"] == ["2620:fe::fe", "9.9.9.9"]
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop = Agent.enrolled(server, a_peer(admin, network))

    def told(agent: Agent) -> wire.Dns | None:
        config = agent.config().config
        assert config is not None
        return config.dns

    cidrs = tuple(str(network[key]) for key in ("cidr_v4", "cidr_v6") if network[key])
    addresses = gw.config().config
    assert addresses is not None
    assert told(gw) == wire.Dns(network["domain"], cidrs, upstreams=("2620:fe::fe", "9.9.9.9"))
    assert told(laptop) == wire.Dns(network["domain"], cidrs, servers=addresses.addresses)
    changed = admin.patch(f"/networks/{network['id']}", json={"dns_upstreams": []}).json()
    assert changed["dns_upstreams"] == []
    assert told(gw) == wire.Dns(network["domain"], cidrs)


@pytest.mark.case("SEED-061")
def test_configs_name_exactly_the_present_jump_peers(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    first = a_peer(admin, network, kind="jump")
    gw1 = Agent.enrolled(server, first)
    others = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]

    def jumps_of(agent: Agent) -> list[str]:
        config = agent.config().config
        assert config is not None
        return [neighbour.public_key for neighbour in ways_of(config)]

    assert [jumps_of(other) for other in others] == [[gw1.public_key]] * 2
    gw2 = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    assert [jumps_of(other) for other in others] == [[gw1.public_key, gw2.public_key]] * 2
    assert admin.delete(f"/peers/{gw1.peer_id}").status_code == 204
    assert [jumps_of(other) for other in others] == [[gw2.public_key]] * 2

    problem = refused(admin, "DELETE", f"/peers/{gw2.peer_id}", None, status=409)
    assert problem["code"] == "transition_not_allowed"
    assert [jumps_of(other) for other in others] == [[gw2.public_key]] * 2
    lonely = a_peer(admin, a_network(admin), kind="jump")["peer"]
    assert admin.delete(f"/peers/{lonely['id']}").status_code == 204


@pytest.mark.case("SEED-062")
def test_each_kind_gets_its_kind_of_config(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.6.0.0/24")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump", endpoint="198.51.100.7:51820"))
    standby = Agent.enrolled(server, a_peer(admin, network, kind="jump", endpoint="198.51.100.8:51820"))
    dynamic = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    phone = a_peer(admin, network, kind="static")
    peers = {peer["id"]: peer for peer in admin.get("/peers", params={"network": network["id"]}).json()["items"]}

    def own_addresses(peer_id: str) -> set[str]:
        return {f"{text}/{128 if ':' in text else 32}" for text in peers[peer_id]["addresses"]}

    def config_of(agent: Agent) -> wire.Config:
        config = agent.config().config
        assert config is not None
        return config

    listed = {neighbour.public_key: neighbour for neighbour in config_of(gw).neighbours}
    assert listed.keys() == {peer["public_key"] for peer in peers.values()} - {gw.public_key}
    for peer in peers.values():
        if peer["id"] != gw.peer_id:
            assert set(listed[peer["public_key"]].allowed_ips) == own_addresses(peer["id"])
    ranges = {network["cidr_v4"], network["cidr_v6"]}
    for agent in dynamic:
        primary, other = ways_of(config_of(agent))
        assert (primary.public_key, primary.role, primary.keepalive) == (gw.public_key, "primary", 25)
        assert (other.public_key, other.role, other.keepalive) == (standby.public_key, "standby", 25)
        assert set(primary.allowed_ips) == ranges | own_addresses(gw.peer_id)
        assert set(other.allowed_ips) == own_addresses(standby.peer_id)
        direct = [neighbour for neighbour in config_of(agent).neighbours if neighbour.role == "direct"]
        assert {neighbour.public_key for neighbour in direct} >= {each.public_key for each in dynamic if each != agent}
        assert not any(neighbour.allowed_ips for neighbour in direct)

    conf = parse(phone["config"]["text"])
    assert conf.interface.private_key is not None
    assert str(conf.interface.private_key.public()) == phone["peer"]["public_key"]
    assert {str(address) for address in conf.interface.addresses} == own_addresses(phone["peer"]["id"])
    first, second = conf.peers
    assert (str(first.public_key), str(first.endpoint)) == (gw.public_key, "198.51.100.7:51820")
    assert {str(allowed) for allowed in first.allowed_ips} == ranges
    assert {str(allowed) for allowed in second.allowed_ips} == own_addresses(standby.peer_id)
    assert (first.keepalive, second.keepalive) == (25, 25)


@pytest.mark.case("SEED-086")
def test_an_offered_range_leads_to_the_peer_that_offers_it(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    site = Agent.enrolled(server, a_peer(admin, network, additional_allowed_ips=["192.168.50.0/24"]))
    other = a_peer(admin, network)
    agent = Agent.enrolled(server, other)

    def ways_to(offer: str) -> list[str]:
        """Who the jump peer sends `offer` to; every other peer sends it to the jump peer."""
        hub, member = gw.config().config, agent.config().config
        assert hub is not None
        assert member is not None
        assert [offer in neighbour.allowed_ips for neighbour in ways_of(member)] == [True]
        return [neighbour.public_key for neighbour in hub.neighbours if offer in neighbour.allowed_ips]

    assert ways_to("192.168.50.0/24") == [site.public_key]
    overlapping = {"additional_allowed_ips": ["192.168.50.128/25"]}
    for method, path, body in (
        ("PATCH", f"/peers/{other['peer']['id']}", overlapping),
        ("POST", f"/networks/{network['id']}/peers", {"name": a_name()} | overlapping),
    ):
        problem = refused(admin, method, path, body)
        assert (problem["code"], pointers(problem)) == ("validation_failed", ["/additional_allowed_ips"])
    assert ways_to("192.168.50.0/24") == [site.public_key]
    free = {"additional_allowed_ips": ["192.168.51.0/24"]}
    assert admin.patch(f"/peers/{other['peer']['id']}", json=free).status_code == 200
    own = gw.config().config
    assert own is not None
    assert [n.public_key for n in own.neighbours if "192.168.51.0/24" in n.allowed_ips] == [agent.public_key]


@pytest.mark.case("SEED-056")
def test_each_kind_of_peer_asks_for_what_it_needs_and_gets_its_address(admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.66.0.0/24")
    path, endpoint, key = f"/networks/{network['id']}/peers", {"endpoint": "198.51.100.7:51820"}, a_public_key()
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("jump", {}, "/endpoint"),
        ("jump", endpoint | {"public_key": key}, "/public_key"),
        ("dynamic", {"public_key": key}, "/public_key"),
        ("dynamic", {"keep_private_key": True}, "/keep_private_key"),
        ("static", {"public_key": key, "keep_private_key": True}, "/keep_private_key"),
    ]
    for kind, fields, pointer in wrong:
        refused = admin.post(path, json={"name": "wrong", "kind": kind} | fields)
        assert refused.status_code == 422, (kind, fields)
        assert refused.json()["errors"][0]["pointer"] == pointer
    needs: dict[str, dict[str, Any]] = {"jump": endpoint, "dynamic": {}, "static": {"public_key": key}}
    for number, (kind, fields) in enumerate(needs.items(), start=1):
        made = admin.post(path, json={"name": kind, "kind": kind} | fields).raise_for_status().json()
        peer = made["peer"]
        assert (peer["kind"], peer["addresses"][0], len(peer["addresses"])) == (kind, f"10.66.0.{number}", 2)
        assert (made["enrollment"] is None) == (kind == "static")
    for peer in admin.get("/peers", params={"network": network["id"]}).json()["items"]:
        own = f"/peers/{peer['id']}"
        changed = admin.patch(own, json={"name": f"{peer['name']}-new", "isolated": peer["kind"] != "jump"})
        changed.raise_for_status()
        for other in {*needs} - {peer["kind"]}:
            assert admin.patch(own, json={"kind": other}).status_code == 422
        assert admin.get(own).json()["kind"] == peer["kind"]
        assert admin.get(own).json()["addresses"] == peer["addresses"]
        admin.delete(own, params={"force": "true"}).raise_for_status()
        assert admin.get(own).status_code == 404
    assert admin.get("/peers", params={"network": network["id"]}).json()["items"] == []


def test_the_kind_of_a_peer_never_changes(admin: httpx2.Client) -> None:
    network = a_network(admin)
    for kind in ("jump", "dynamic", "static"):
        peer = a_peer(admin, network, kind=kind)["peer"]
        assert admin.patch(f"/peers/{peer['id']}", json={"kind": "jump"}).status_code == 422
        assert admin.patch(f"/peers/{peer['id']}", json={"owner": "ada"}).json()["kind"] == kind


def test_an_update_for_another_version_is_refused(admin: httpx2.Client) -> None:
    network = a_network(admin)
    peer = a_peer(admin, network)["peer"]
    for path, change in ((f"/networks/{network['id']}", {"mtu": 1400}), (f"/peers/{peer['id']}", {"owner": "ada"})):
        etag = admin.get(path).headers["etag"]
        changed = admin.patch(path, json=change, headers={"If-Match": etag})
        assert changed.status_code == 200
        assert changed.headers["etag"] == admin.get(path).headers["etag"] != etag
        stale = admin.patch(path, json={"name": "lost"}, headers={"If-Match": etag})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
        assert admin.delete(path, headers={"If-Match": etag}).status_code == 412
        same = admin.patch(path, json=change, headers={"If-Match": changed.headers["etag"]})
        assert same.headers["etag"] == changed.headers["etag"], "nothing changed"


async def test_of_parallel_updates_for_one_version_one_wins(either_server: Server, either_admin: httpx2.Client) -> None:
    peer = a_peer(either_admin, a_network(either_admin))["peer"]
    path = f"/peers/{peer['id']}"
    etag = either_admin.get(path).headers["etag"]
    async with either_server.async_client(either_server.token("write")) as client:
        answers = await asyncio.gather(
            *(client.patch(path, json={"owner": str(n)}, headers={"If-Match": etag}) for n in range(20))
        )
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} == {200, 412}
    assert either_admin.get(path).json()["owner"] == won[0].json()["owner"]


async def test_pages_lose_no_row_while_others_are_made(either_server: Server, either_admin: httpx2.Client) -> None:
    network = a_network(either_admin)
    early = {a_peer(either_admin, network)["peer"]["id"] for _ in range(25)}
    path, where = f"/networks/{network['id']}/peers", {"network": network["id"], "limit": "4"}
    async with either_server.async_client(either_server.token("read", "write")) as client:

        async def make() -> set[str]:
            made = [await client.post(path, json={"name": a_name()}) for _ in range(15)]
            return {answer.raise_for_status().json()["peer"]["id"] for answer in made}

        async def read() -> list[str]:
            seen: list[str] = []
            after: dict[str, str] = {}
            while True:
                page = (await client.get("/peers", params=where | after)).raise_for_status().json()
                seen += [peer["id"] for peer in page["items"]]
                if page["next"] is None:
                    return seen
                after = {"after": page["next"]}

        late, seen = await asyncio.gather(make(), read())
    assert len(seen) == len(set(seen)), "a row came twice"
    assert early <= set(seen) <= early | late
    assert seen == sorted(seen)


def test_filters_find_what_they_say(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw = a_peer(admin, network, name="berlin-gw", kind="jump")["peer"]
    laptop = a_peer(admin, network, name="berlin-laptop")
    phone = a_peer(admin, network, name="paris-phone", kind="static", public_key=a_public_key())["peer"]
    Agent.enrolled(server, laptop)

    def found(**where: Any) -> list[str]:
        answer = admin.get("/peers", params={"network": network["id"]} | where).raise_for_status()
        return [peer["name"] for peer in answer.json()["items"]]

    assert found(kind="jump") == [gw["name"]]
    assert found(name="paris-phone") == [phone["name"]]
    assert found(search="berlin") == ["berlin-gw", "berlin-laptop"]
    assert found(enrolled=True) == ["berlin-laptop", "paris-phone"]
    assert found(enrolled=False) == ["berlin-gw"]
    assert admin.get("/networks", params={"name": network["name"]}).json()["items"][0]["id"] == network["id"]


def test_secrets_are_shown_once_and_never_stored_by_caches(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    path = f"/networks/{network['id']}/peers"
    created = admin.post(path, json={"name": "laptop"})
    assert created.headers["cache-control"] == "no-store"
    token = created.json()["enrollment"]["token"]
    peer_path = f"/peers/{created.json()['peer']['id']}"
    for answer in (admin.get(peer_path), admin.get("/peers", params={"limit": 1000}), admin.get("/audit")):
        assert token not in answer.text
    shown = admin.get(peer_path).json()["enrollment"]
    assert shown["state"] == "pending"
    assert token.startswith(shown["prefix"])
    assert shown["expires_at"] is not None

    phone = admin.post(path, json={"name": "phone", "kind": "static"})
    assert phone.headers["cache-control"] == "no-store"
    private = parse(phone.json()["config"]["text"]).interface.private_key
    assert private is not None
    phone_path = f"/peers/{phone.json()['peer']['id']}"
    again = admin.get(f"{phone_path}/config")
    assert (again.status_code, again.json()["code"]) == (410, "config_already_shown")
    for answer in (admin.get(phone_path), admin.get("/peers", params={"limit": 1000}), admin.get("/audit"), again):
        assert private.reveal() not in answer.text
    assert token not in server.log
    assert private.reveal() not in server.log


@pytest.mark.case("ENROL-007")
def test_a_static_config_is_shown_once_and_made_anew_with_another_key(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    shown = admin.post(f"/networks/{network['id']}/peers", json={"name": "phone", "kind": "static"})
    assert shown.headers["cache-control"] == "no-store"
    config, path = shown.json()["config"], f"/peers/{shown.json()['peer']['id']}/config"
    assert config["qr_svg"].startswith("<svg")
    assert "PrivateKey" in config["text"]
    assert config["reaches"] == 1
    with server.local() as somebody_else:
        for reader in (admin, somebody_else):
            last, before = newest(admin)["number"], state_of(admin)
            answer = reader.get(path)
            assert (answer.status_code, answer.json()["code"]) == (410, "config_already_shown")
            assert "PrivateKey" not in answer.text
            row = newest(admin)
            assert (row["number"], row["outcome"], row["reason"]) == (last + 1, "denied", "config_already_shown")
            assert state_of(admin) == before
    old = shown.json()["peer"]["public_key"]
    assert old in known_to(gw)
    anew = admin.post(f"{path}/regenerate").raise_for_status()
    assert anew.headers["cache-control"] == "no-store"
    assert anew.json()["qr_svg"].startswith("<svg")
    private = parse(anew.json()["text"]).interface.private_key
    assert private is not None
    assert private != parse(config["text"]).interface.private_key
    assert str(private.public()) in known_to(gw)
    assert old not in known_to(gw)
    assert admin.get(path).status_code == 410


def ways_of(config: wire.Config) -> list[wire.Neighbour]:
    """The jump peers as a regular peer lists them, without those that it may reach directly."""
    return [neighbour for neighbour in config.neighbours if neighbour.role != "direct"]


def known_to(agent: Agent) -> set[str]:
    """The keys in the agent's config."""
    config = agent.config().config
    assert config is not None
    return {neighbour.public_key for neighbour in config.neighbours}


def test_a_reservation_is_kept_and_given_back(admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.7.0.0/29")
    path = f"/networks/{network['id']}/reservations"
    assert admin.post(path, json={"address": "10.7.0.1", "note": "printer"}).status_code == 201
    assert admin.post(path, json={"address": "10.7.0.1"}).status_code == 422
    assert admin.get(path).json()["items"] == [{"address": "10.7.0.1", "note": "printer"}]
    assert a_peer(admin, network)["peer"]["addresses"][0] == "10.7.0.2"
    assert admin.get(f"/networks/{network['id']}/capacity").json()["v4"] == {
        "total": 6,
        "used": 1,
        "reserved": 1,
        "held": 0,
        "free": 4,
    }
    assert admin.delete(f"{path}/10.7.0.1").status_code == 204
    assert admin.delete(f"{path}/10.7.0.1").status_code == 404
    assert a_peer(admin, network)["peer"]["addresses"][0] == "10.7.0.1"


def test_a_renumbering_names_the_static_peers_to_hand_out_again(admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.8.0.0/24")
    phone = a_peer(admin, network, kind="static")["peer"]
    path = f"/networks/{network['id']}"
    problem = refused(admin, "PATCH", path, {"cidr_v4": "10.9.0.0/24"}, status=409)
    assert problem["code"] == "transition_not_allowed"
    updated = admin.patch(path, json={"cidr_v4": "10.9.0.0/24", "force": True}).raise_for_status().json()
    assert updated["reissue"] == [{"id": phone["id"], "name": phone["name"]}]
    assert admin.get(f"/peers/{phone['id']}").json()["addresses"][0] == "10.9.0.1"


def test_a_parameter_that_comes_twice_is_refused_unless_it_is_a_list(admin: httpx2.Client) -> None:
    answer = admin.get("/peers", params=[("limit", "1"), ("limit", "2")])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/limit"
    assert admin.get("/peers", params=[("label", "a=1"), ("label", "b=2")]).status_code == 200


def test_a_mistyped_filter_is_refused_and_does_not_answer_with_everything(admin: httpx2.Client) -> None:
    refused = admin.get("/peers", params={"netwrok": "x"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/netwrok"
    assert "network" in refused.json()["hint"]
    assert admin.get("/peers", params={"limit": 1}).status_code == 200
