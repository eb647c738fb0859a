"""What the UI does it does by the API and the stream of notices, and each step is there at once and on record."""

import json
import re
import subprocess
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Page, Request, WebSocket, expect

from isthmus.server.adapters.http.access import API
from tests.api.agent import a_name, a_network
from tests.server import COMMAND, Server, clean_environment
from tests.web.looking import opened
from tests.web.test_journeys import in_window, named

CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


def documented(admin: httpx2.Client) -> list[tuple[str, re.Pattern[str]]]:
    """Each call of the OpenAPI document, with a pattern of its paths."""
    paths = admin.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)) + "$"))
        for path, item in paths.items()
        for method in item
    ]


@pytest.mark.case("SEED-049")
def test_every_change_is_a_documented_call_and_every_update_came_by_the_stream(
    page: Page, server: Server, admin: httpx2.Client
) -> None:
    asked: list[Request] = []
    streams: list[WebSocket] = []
    frames: list[Any] = []

    def on_request(request: Request) -> None:
        asked.append(request)

    def on_stream(stream: WebSocket) -> None:
        streams.append(stream)
        stream.on("framereceived", lambda data: frames.append(json.loads(data)))

    page.on("request", on_request)
    page.on("websocket", on_stream)
    name, peer = a_name("recorded"), a_name("desk")
    opened(page, "/networks").get_by_role("button", name="New network").click()
    in_window(page, "New network").get_by_role("textbox", name="Name").fill(name)
    in_window(page, "New network").get_by_role("button", name="Create").click()
    page.get_by_role("link", name=name).click()
    page.get_by_role("button", name="Change network").click()
    in_window(page, "Change network").get_by_label("MTU").fill("1380")
    in_window(page, "Change network").get_by_role("button", name="Save").click()
    expect(page.get_by_text("1380")).to_be_visible()
    network = named(admin, "networks", name)

    opened(page, f"/peers?network={network['id']}").get_by_role("button", name="New peer").click()
    in_window(page, "New peer").get_by_role("textbox", name="Name").fill(peer)
    in_window(page, "New peer").get_by_role("button", name="Create").click()
    in_window(page, "Shown only now").get_by_role("button", name="I have it").click()
    before = len(frames)
    admin.patch(f"/peers/{named(admin, 'peers', peer)['id']}", json={"name": f"{peer}-2"}).raise_for_status()
    expect(page.get_by_role("link", name=f"{peer}-2")).to_be_visible()
    assert ("notice", "peer.changed") in [(each["type"], each.get("event")) for each in frames[before:]]

    page.get_by_role("link", name=f"{peer}-2").click()
    page.get_by_role("button", name="Delete peer").click()
    in_window(page, "Delete peer").get_by_role("button", name="Delete peer").click()
    # To leave the page now would take back the call that is under way.
    expect(page.get_by_role("heading", level=1, name="Peers")).to_be_visible()
    opened(page, f"/networks/{network['id']}").get_by_role("button", name="Delete network").click()
    in_window(page, "Delete network").get_by_role("button", name="Delete network").click()
    expect(page.get_by_role("heading", level=1, name="Networks")).to_be_visible()

    known = documented(admin)
    told = {(each.method, urlsplit(each.url).path) for each in asked}
    calls = {(method, path) for method, path in told if path.startswith(API)}
    assert {path for method, path in told - calls if method in CHANGES} == set()
    undocumented = [
        (method, path) for method, path in calls if not any(method == one and at.match(path) for one, at in known)
    ]
    assert undocumented == []
    assert {method for method, _ in calls} >= {"GET", "POST", "PATCH", "DELETE"}
    assert {urlsplit(each.url).netloc for each in asked} == {server.address}
    assert {urlsplit(each.url).path for each in streams} == {f"{API}/events"}


@pytest.mark.case("SEED-054")
def test_a_network_of_both_families_is_made_renamed_and_deleted_and_its_ranges_are_free_again(
    page: Page, admin: httpx2.Client
) -> None:
    name, other = a_name("both"), a_name("renamed")
    cidr_v6 = a_network(admin)["cidr_v6"].replace("::/64", "")
    cidr_v6 = f"{cidr_v6[: cidr_v6.rfind(':')]}:aaaa::/64"
    opened(page, "/networks").get_by_role("button", name="New network").click()
    form = in_window(page, "New network")
    form.get_by_role("textbox", name="Name").fill(name)
    form.get_by_label("IPv4").first.fill("10.123.0.0/24")
    form.get_by_role("button", name="More").click()
    form.get_by_label("IPv6").fill(cidr_v6)
    form.get_by_role("textbox", name="Domain").fill("office.internal")
    upstreams = form.get_by_role("combobox", name="DNS servers for other names")
    upstreams.fill("192.0.2.53")
    upstreams.press("Enter")
    form.get_by_role("button", name="Create").click()
    page.get_by_role("link", name=name).click()
    made = named(admin, "networks", name)
    told = (made["cidr_v4"], made["cidr_v6"], made["domain"], made["dns_upstreams"])
    assert told == ("10.123.0.0/24", cidr_v6, "office.internal", ["192.0.2.53"])
    for each in ("10.123.0.0/24", cidr_v6, "office.internal", "192.0.2.53"):
        expect(page.get_by_role("main")).to_contain_text(each)

    page.get_by_role("button", name="Change network").click()
    in_window(page, "Change network").get_by_role("textbox", name="Name").fill(other)
    in_window(page, "Change network").get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1, name=other)).to_be_visible()
    assert admin.get(f"/networks/{made['id']}").json()["name"] == other
    page.get_by_role("button", name="Delete network").click()
    in_window(page, "Delete network").get_by_role("button", name="Delete network").click()
    expect(page.get_by_role("heading", level=1, name="Networks")).to_be_visible()
    expect(page.get_by_role("link", name=other)).to_have_count(0)
    assert admin.get(f"/networks/{made['id']}").status_code == 404

    again = a_network(admin, cidr_v4="10.123.0.0/24", cidr_v6=cidr_v6)
    admin.delete(f"/networks/{again['id']}").raise_for_status()
    rows = admin.get("/audit", params={"subject": made["id"], "outcome": "done"}).json()["items"]
    assert [each["action"] for each in reversed(rows)] == ["network.create", "network.update", "network.delete"]


@pytest.mark.case("SEED-077")
def test_an_enrollment_token_is_shown_once(page: Page, server: Server, admin: httpx2.Client) -> None:
    network, name = a_network(admin), a_name("once")
    with page.expect_response(lambda each: each.request.method == "POST" and "/peers" in each.url) as made:
        opened(page, f"/peers?network={network['id']}").get_by_role("button", name="New peer").click()
        in_window(page, "New peer").get_by_role("textbox", name="Name").fill(name)
        in_window(page, "New peer").get_by_role("button", name="Create").click()
    assert made.value.headers["cache-control"] == "no-store"
    token = in_window(page, "Shown only now").get_by_label("Enrollment token").inner_text().strip()
    page.reload()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
    assert token not in page.content()

    peer = named(admin, "peers", name)
    environment = clean_environment({"socket": str(server.local_socket)})
    command = [str(COMMAND), "peer", "export", "--network", network["name"]]
    exported = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    audited = admin.get("/audit", params={"subject": peer["id"]}).text
    for text in (exported.stdout, json.dumps(peer), admin.get("/peers").text, audited):
        assert token not in text
    assert token.startswith(peer["enrollment"]["prefix"])
    assert peer["enrollment"]["expires_at"]
