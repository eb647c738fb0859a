"""The map of a network: what people find on it, that it follows the mesh, and that it moves smoothly when large."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from isthmus.domain.ids import PublicKey
from isthmus.protocol import agent as wire
from lab.waiting import wait_until
from tests.api.agent import Agent, a_name, a_network, a_peer, a_public_key, heartbeat
from tests.api.test_agents import nonce_of
from tests.api.test_bridge_status import Joined, fill
from tests.api.test_incidents import steal
from tests.server import Server, running
from tests.trusting import B
from tests.web.looking import DESKTOP, PATIENCE, grave_findings, opened, shoot, sign_in

FOLLOWS = 5_000  # milliseconds
SILENT = 60.0
PEERS = 1_000
LEAST_FRAMES = 30.0
TRIES = 4
SECONDS = 2.0
# Counts each time that the map is drawn anew, and keeps the times.
COUNT_DRAWING = """
    const clear = CanvasRenderingContext2D.prototype.clearRect
    window.drawn = []
    CanvasRenderingContext2D.prototype.clearRect = function (...area) {
        if (this.canvas.isConnected) window.drawn.push(performance.now())
        return clear.apply(this, area)
    }
"""
# One move of the mouse to a frame, as browsers tell of them; how often in a second the map was drawn.
DRAG = """async seconds => {
    const canvas = document.querySelector('canvas')
    const { left, top, width, height } = canvas.getBoundingClientRect()
    const begun = performance.now()
    window.drawn = []
    for (let step = 0; performance.now() - begun < seconds * 1000; step++) {
        const clientX = left + width / 2 + 150 * Math.sin(step / 12)
        const clientY = top + height / 2 + 90 * Math.sin(step / 17)
        canvas.dispatchEvent(new PointerEvent('pointermove', { pointerId: 1, bubbles: true, clientX, clientY }))
        await new Promise(done => requestAnimationFrame(done))
    }
    return window.drawn.length * 1000 / (performance.now() - begun)
}"""


def the_map(page: Page) -> Locator:
    return page.get_by_role("application", name=re.compile("Map of"))


def beat(agent: Agent, **fields: Any) -> None:
    with agent.client() as client:
        client.post("/agent/heartbeat", json=heartbeat(nonce_of(client), **fields)).raise_for_status()


def picture(page: Page) -> str:
    """What is on the canvas."""
    return str(page.evaluate("document.querySelector('canvas').toDataURL()"))


def at_rest(page: Page) -> str:
    """What is on the canvas once nothing moves there any more."""
    before = ""
    while before != (now := picture(page)):
        before = now
        page.wait_for_timeout(400)
    return before


def other_picture(page: Page, before: str) -> None:
    page.wait_for_function("before => document.querySelector('canvas').toDataURL() !== before", arg=before)


def chip(page: Page, label: str) -> Locator:
    return page.get_by_role("group", name="Only these states").get_by_text(label, exact=True)


def choose(page: Page, name: str) -> None:
    page.get_by_role("combobox", name="Find a peer").press_sequentially(name)
    expect(page.get_by_role("option")).to_have_text([name])
    page.keyboard.press("Enter")


def chosen(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def show(page: Page, what: str) -> None:
    page.get_by_role("radiogroup", name="Show as").get_by_text(what, exact=True).click()


def rows_of(page: Page, table: str) -> list[list[str]]:
    rows = page.get_by_role("table", name=table).get_by_role("row").all()[1:]
    return [row.get_by_role("cell").all_inner_texts() for row in rows]


def names_of(admin: httpx2.Client, network: Any) -> dict[str, str]:
    found = admin.get("/peers", params={"network": network["id"]}).raise_for_status().json()["items"]
    return {each["id"]: each["name"] for each in found}


def test_a_peer_is_found_looked_at_and_let_go_by_keys_and_by_clicks(
    page: Page, server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, cidr_v4="10.88.0.0/24")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    a_peer(admin, network)
    names = names_of(admin, network)
    beat(gw)
    beat(laptop, paths=[msgspec.to_builtins(wire.PathReport(desk.public_key, 1_770_000_000, round_trip=1_250))])
    opened(page, f"/topology?network={network['id']}")
    expect(the_map(page)).to_have_accessible_name(re.compile("peers: 4, tunnels: 3, bridges: 0"))

    choose(page, names[laptop.peer_id])
    panel = chosen(page, names[laptop.peer_id])
    expect(panel).to_contain_text("Online")
    expect(panel).to_contain_text(re.compile(rf"{names[desk.peer_id]}\s*Direct, 1\.\d ms"))
    assert f"peer={laptop.peer_id}" in page.url
    assert grave_findings(page) == []
    before = at_rest(page)
    the_map(page).focus()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    other_picture(page, before)

    # The camera still looks at it.
    the_map(page).click()
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Let go").click()
    expect(panel).to_have_count(0)
    for key in ("ArrowLeft", "+", "0"):
        before = at_rest(page)
        the_map(page).press(key)
        other_picture(page, before)
    for name in ("Zoom in", "Zoom out"):
        before = at_rest(page)
        page.get_by_role("button", name=name).click()
        other_picture(page, before)
    opened(page, f"/topology?network={network['id']}&peer={desk.peer_id}")
    expect(chosen(page, names[desk.peer_id])).to_be_visible()


def test_states_narrow_the_map_and_the_table_says_all_that_the_map_shows(
    page: Page, server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, cidr_v4="10.89.0.0/24")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop = Agent.enrolled(server, a_peer(admin, network))
    waiting = a_peer(admin, network)["peer"]
    names = names_of(admin, network)
    beat(gw)
    opened(page, f"/topology?network={network['id']}")
    before = at_rest(page)
    chip(page, "Waits for its host 1").click()
    other_picture(page, before)
    show(page, "Table")
    assert [row[0] for row in rows_of(page, "Peers")] == [waiting["name"]]
    expect(page.get_by_text("There are no tunnels here.")).to_be_visible()
    chip(page, "Waits for its host 1").click()
    expect(page.get_by_role("table", name="Tunnels")).to_be_visible()
    shown = {row[0]: row[1:4] for row in rows_of(page, "Peers")}
    assert shown[names[gw.peer_id]] == ["Online", "Jump, primary", "10.89.0.1"]
    assert shown[waiting["name"]] == ["Waits for its host", "Dynamic", "10.89.0.3"]
    assert [row[:3] for row in rows_of(page, "Tunnels")] == [[names[gw.peer_id], names[laptop.peer_id], "Direct"]]
    page.get_by_role("combobox", name="Find a peer").fill("10.89.0.2")
    expect(page.get_by_role("table", name="Peers").get_by_role("row")).to_have_count(2)
    page.get_by_role("combobox", name="Find a peer").fill("")
    page.get_by_role("button", name=f"Choose {names[laptop.peer_id]}").press("Enter")
    expect(chosen(page, names[laptop.peer_id])).to_be_visible()
    assert grave_findings(page) == []


@contextmanager
def beating(*agents: Agent) -> Iterator[None]:
    """Agents that report all the time."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(5):
            for agent in agents:
                beat(agent)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def state_of(admin: httpx2.Client, agent: Agent) -> str:
    return str(admin.get(f"/peers/{agent.peer_id}").raise_for_status().json()["status"]["state"])


def tunnels_in_configs(admin: httpx2.Client, network: Any, *agents: Agent) -> set[frozenset[str]]:
    """Every two peers, by name, of which an agent is told the one in the config of the other."""
    found = admin.get("/peers", params={"network": network["id"]}).raise_for_status().json()["items"]
    named = {each["public_key"]: each["name"] for each in found}
    pairs = set()
    for agent in agents:
        config = agent.config().config
        assert config is not None
        pairs |= {frozenset((named[agent.public_key], named[each.public_key])) for each in config.neighbours}
    return {pair for pair in pairs if len(pair) == 2}


def tunnels_on(page: Page) -> set[frozenset[str]]:
    return {frozenset(row[:2]) for row in rows_of(page, "Tunnels")}


@pytest.mark.case("SEED-059")
def test_the_map_follows_who_falls_silent_is_blocked_or_is_added(
    page: Page, server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, cidr_v4="10.90.0.0/24")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop, desk, other = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(3)]
    for agent in (gw, laptop, desk, other):
        beat(agent)
    opened(page, f"/topology?network={network['id']}").evaluate("window.wasNotReloaded = true")
    expect(chip(page, "Online 4")).to_be_visible()
    with beating(gw, desk, other):
        before = at_rest(page)
        wait_until(lambda: state_of(admin, laptop) == "stale", within=SILENT, what="the silence of a peer")
        expect(chip(page, "Stale 1")).to_be_visible(timeout=FOLLOWS)
        expect(chip(page, "Online 3")).to_be_visible(timeout=FOLLOWS)
        other_picture(page, before)

    steal(desk)
    expect(chip(page, "Blocked 1")).to_be_visible(timeout=FOLLOWS)
    phone = a_peer(admin, network, kind="static")["peer"]["name"]
    expect(the_map(page)).to_have_accessible_name(re.compile("peers: 5, tunnels: 4, bridges: 0"), timeout=FOLLOWS)
    show(page, "Table")
    expect(page.get_by_role("table", name="Peers")).to_contain_text(phone)
    in_configs = tunnels_in_configs(admin, network, gw, laptop, other)
    assert len(in_configs) == 4
    assert tunnels_on(page) == in_configs
    assert page.evaluate("window.wasNotReloaded") is True


def test_a_bridge_is_on_the_map_with_its_remote_and_follows_what_becomes_of_it(
    browser: Browser, tmp_path: Path, screenshots: Path | None
) -> None:
    with running(tmp_path) as server, server.client(server.token("read", "write", "admin")) as admin:
        network = a_network(admin, cidr_v4="10.207.0.0/24")
        gw, laptop = [Agent.enrolled(server, a_peer(admin, network, kind=kind)) for kind in ("jump", "dynamic")]
        server.stop()
        url = f"sqlite:///{server.data / 'isthmus.db'}"
        joined = Joined(server, url, gw, laptop, network, PublicKey(a_public_key()), uuid4(), uuid4())
        with ThreadPoolExecutor() as elsewhere:  # the driver of the browser has an event loop in this thread
            elsewhere.submit(asyncio.run, fill(joined)).result()
        server.start()
        tunnel = wire.PeerReport(joined.key, "203.0.113.1:51820", int(time.time()), 5000, 6000)
        beat(gw, peers=[msgspec.to_builtins(tunnel)])
        with browser.new_context(base_url=server.url, viewport=DESKTOP) as context:
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            sign_in(page, server.password)
            opened(page, f"/topology?network={network['id']}")
            expect(page.get_by_text("Remote: tunnel up")).to_be_visible()
            before = at_rest(page)
            shoot(page, screenshots, "topology-bridge-1280")
            admin.post(f"/remotes/{B}/suspend").raise_for_status()
            expect(page.get_by_text("Remote: nothing passes")).to_be_visible(timeout=FOLLOWS)
            other_picture(page, before)
            show(page, "Table")
            names = names_of(admin, network)
            assert rows_of(page, "Bridges") == [[B, "plant", "Active", "Nothing passes", names[gw.peer_id]]]
            page.get_by_role("button", name="Dark or light").click()
            assert grave_findings(page) == []
            show(page, "Map")
            at_rest(page)
            shoot(page, screenshots, "topology-bridge-dark-1280")
            assert grave_findings(page) == []


@pytest.fixture(scope="module")
def large(server: Server, admin: httpx2.Client) -> Iterator[Any]:
    """A network of a thousand peers behind two jump peers, some of which look for ways past those."""
    network = a_network(admin, cidr_v4="10.136.0.0/16")
    jumps = [Agent.enrolled(server, a_peer(admin, network, kind="jump")) for _ in range(2)]
    hosts = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(10)]
    operations = [{"action": "create", "name": a_name("phone"), "kind": "static"} for _ in range(PEERS - 12)]
    body = {"operations": operations}
    admin.post(f"/networks/{network['id']}/peers/bulk", json=body, timeout=120).raise_for_status()
    for agent in (*jumps, *hosts):
        beat(agent)
    yield network
    admin.delete(f"/networks/{network['id']}", params={"force": True}, timeout=120).raise_for_status()


def test_the_map_of_a_thousand_peers_moves_smoothly(page: Page, large: Any, screenshots: Path | None) -> None:
    page.add_init_script(COUNT_DRAWING)
    opened(page, f"/topology?network={large['id']}")
    expect(the_map(page)).to_have_accessible_name(re.compile("peers: 1,000, tunnels: 2,042, bridges: 0"))
    before = at_rest(page)
    shoot(page, screenshots, "topology-thousand-1280")
    assert any(frames_while_dragging(page) >= LEAST_FRAMES for _ in range(TRIES))
    assert picture(page) != before
    for _ in range(5):
        page.get_by_role("button", name="Zoom in").click()
    at_rest(page)
    shoot(page, screenshots, "topology-thousand-near-1280")
    assert any(frames_while_dragging(page) >= LEAST_FRAMES for _ in range(TRIES))


def frames_while_dragging(page: Page) -> float:
    """How often in a second the map is drawn while the mouse drags it about.

    The button goes down by the driver. Its moves would come as seldom as its answers travel, so the page makes them.
    """
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    rate = float(page.evaluate(DRAG, SECONDS))
    page.mouse.up()
    return rate
