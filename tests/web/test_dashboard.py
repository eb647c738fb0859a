"""The dashboard counts all that there is, and not only what it lists: its numbers are those of the API."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from lab.waiting import wait_until
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.api.test_incidents import beat, steal
from tests.server import Server, running
from tests.web.looking import DESKTOP, PATIENCE, opened, sign_in

MANY = 250
WITHIN = 60.0
STATES = ("Online", "Stale", "Offline", "Unknown", "Blocked")
KINDS = {"jump": "Jump", "dynamic": "Dynamic", "static": "Static"}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three networks with no, 5 and 250 peers; four agents, of which one has never said a word and one was copied."""
    with running(tmp_path_factory.mktemp("busy")) as server, server.local() as admin:
        _, office, plant = (a_network(admin, cidr_v4=f"10.{number}.0.0/23") for number in (101, 102, 103))
        agents = [Agent.enrolled(server, a_peer(admin, office, kind="jump"))]
        agents += [Agent.enrolled(server, a_peer(admin, office)) for _ in range(3)]
        a_peer(admin, office, kind="static")
        operations = [{"action": "create", "name": a_name("device"), "kind": "static"} for _ in range(MANY)]
        path = f"/networks/{plant['id']}/peers/bulk"
        admin.post(path, json={"operations": operations}, timeout=120).raise_for_status()
        for agent in agents[:2]:
            assert beat(agent, "own").status_code == 200
        steal(agents[2])
        yield server


def by_state(peers: list[Any]) -> Counter[str]:
    states = ("blocked" if peer["blocked"] else peer["status"]["state"] for peer in peers)
    return Counter(state.title() for state in states)


def by_kind(peers: list[Any]) -> Counter[str]:
    return Counter(KINDS[peer["kind"]] for peer in peers)


def shown(page: Page, region: str, words: tuple[str, ...]) -> Counter[str]:
    text = page.get_by_role("region", name=region).inner_text()
    return Counter({word: int(number) for word, number in re.findall(rf"({'|'.join(words)})\w*\s+(\d+)", text)})


def all_peers(admin: httpx2.Client) -> list[Any]:
    return list(admin.get("/peers", params={"limit": 1000}).raise_for_status().json()["items"])


@pytest.mark.case("SEED-053")
def test_the_overview_has_the_numbers_of_the_api_for_all_networks(browser: Browser, busy: Server) -> None:
    with busy.local() as admin, browser.new_context(base_url=busy.url, viewport=DESKTOP) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        sign_in(page, busy.password)
        opened(page, "/")
        expect(page.get_by_role("region", name="Peers by state")).to_be_visible()

        def agree() -> bool:
            return shown(page, "Peers by state", STATES) == by_state(all_peers(admin))

        # An agent falls silent with time, there as here.
        wait_until(agree, within=WITHIN, what="the states of all peers on the page")
        peers = all_peers(admin)
        assert len(peers) == MANY + 5
        kinds = shown(page, "Peers by state", tuple(KINDS.values()))
        assert kinds == by_kind(peers) == {"Jump": 1, "Dynamic": 3, "Static": MANY + 1}
        states = by_state([peer for peer in peers if peer["kind"] != "static"])
        assert (states.total(), states["Blocked"]) == (4, 1)
        silent = [peer for peer in peers if peer["kind"] == "dynamic" and peer["status"]["last_seen"] is None]
        assert len(silent) == 1

        incidents = admin.get("/incidents", params={"state": "open"}).raise_for_status().json()["items"]
        region = page.get_by_role("region", name="Open incidents")
        expect(region).to_contain_text(f"{len(incidents)} open")
        assert len(incidents) == 1
        use = page.get_by_role("region", name="Address use").inner_text()
        networks = admin.get("/networks").raise_for_status().json()["items"]
        assert [each["capacity"]["v4"]["used"] for each in networks] == [0, 5, MANY]
        for network in networks:
            capacity = network["capacity"]["v4"]
            after = use.partition(network["name"])[2]
            assert re.match(rf"\s*{capacity['used']} of {capacity['total']}\b", after), (network["name"], use)
        assert f": {len(networks)}" in use
