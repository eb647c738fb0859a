"""What people do in the UI, from signing in to a resolved incident, and what they see of what others do."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.api.agent import Agent, a_name, a_network, a_peer, enroll_body
from tests.api.test_incidents import steal
from tests.server import COMMAND, Server, clean_environment, running
from tests.web.looking import PATIENCE, grave_findings, opened, shoot, sign_in, without_notices

ON_SCREEN = 1_000  # milliseconds after a change is done until it is on the screen of somebody else


def named(admin: httpx2.Client, kind: str, name: str) -> Any:
    (found,) = admin.get(f"/{kind}", params={"name": name}).raise_for_status().json()["items"]
    return found


def in_window(page: Page, title: str) -> Any:
    return page.get_by_role("dialog", name=re.compile(title))


def choose(page: Page, field: str, value: str) -> None:
    page.get_by_role("combobox", name=re.compile(rf"^{field}( \*)?$")).click()
    page.get_by_role("option", name=value, exact=True).click()


def test_a_wrong_password_is_refused_with_a_request_id_and_the_right_one_lets_in_until_signing_out(
    browser: Browser, server: Server
) -> None:
    with browser.new_context(base_url=server.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto("/peers")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert grave_findings(page) == []
        page.get_by_label("Password", exact=True).fill("not this one")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Request")
        sign_in(page, server.password)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.goto("/networks")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_network_is_created_in_the_next_free_range_changed_and_deleted(page: Page, admin: httpx2.Client) -> None:
    name = a_name("office")
    opened(page, "/networks").get_by_role("button", name="New network").click()
    form = in_window(page, "New network")
    form.get_by_role("textbox", name="Name").fill("Not A Label")
    form.get_by_role("button", name=re.compile("Next free range")).click()
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_role("alert")).to_contain_text("Request")
    expect(form.get_by_role("textbox", name="Name")).to_have_attribute("aria-invalid", "true")
    form.get_by_role("textbox", name="Name").fill(name)
    form.get_by_role("button", name="Create").click()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
    made = named(admin, "networks", name)
    expect(page.get_by_text(made["cidr_v4"])).to_be_visible()

    page.get_by_role("button", name="Change network").click()
    in_window(page, "Change network").get_by_label("MTU").fill("1380")
    in_window(page, "Change network").get_by_role("button", name="Save").click()
    expect(page.get_by_text("1380")).to_be_visible()
    assert admin.get(f"/networks/{made['id']}").json()["mtu"] == 1380

    page.get_by_role("button", name="Delete network").click()
    question = in_window(page, "Delete network")
    expect(question).to_contain_text("cuts every tunnel")
    question.get_by_role("button", name="Delete network").click()
    expect(page.get_by_role("heading", level=1, name="Networks")).to_be_visible()
    assert admin.get(f"/networks/{made['id']}").status_code == 404


def test_a_network_with_peers_is_deleted_only_when_that_was_said(page: Page, admin: httpx2.Client) -> None:
    network = a_network(admin)
    a_peer(admin, network)
    opened(page, f"/networks/{network['id']}").get_by_role("button", name="Delete network").click()
    question = in_window(page, "Delete network")
    question.get_by_role("button", name="Delete network").click()
    expect(question.get_by_role("alert")).to_be_visible()
    assert admin.get(f"/networks/{network['id']}").status_code == 200
    question.get_by_label("Delete its peers too").check()
    question.get_by_role("button", name="Delete network").click()
    expect(page.get_by_role("heading", level=1, name="Networks")).to_be_visible()
    assert admin.get(f"/networks/{network['id']}").status_code == 404


def test_an_empty_backend_leads_to_a_first_mesh_and_each_step_is_checked_off_live(
    browser: Browser, tmp_path: Path, screenshots: Path | None
) -> None:
    with running(tmp_path) as server, browser.new_context(base_url=server.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        sign_in(page, server.password)
        done = page.get_by_role("img", name="Done", exact=True)
        expect(page.get_by_role("heading", name="First steps")).to_be_visible()
        shoot(page, screenshots, "first-steps-1280")
        page.get_by_role("button", name="New network").click()
        form = in_window(page, "New network")
        form.get_by_role("textbox", name="Name").fill("office")
        form.get_by_role("button", name=re.compile("Next free range")).click()
        form.get_by_role("button", name="Create").click()
        expect(done).to_have_count(1)
        for number, (name, endpoint) in enumerate((("gw", "198.51.100.7:51820"), ("laptop", "")), start=2):
            enroll_in_window(page, server, name, endpoint, screenshots)
            expect(done).to_have_count(number)
        page.get_by_role("button", name="New peer").first.click()
        form = in_window(page, "New peer")
        form.get_by_label("Name").fill("phone")
        form.get_by_role("button", name="Create").click()
        handed = in_window(page, "Shown only now")
        expect(handed.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
        expect(handed.get_by_label("Config for wg-quick")).to_contain_text("PrivateKey")
        shoot(page, screenshots, "static-config-1280")
        assert grave_findings(page) == []
        handed.get_by_role("button", name="I have it").click()
        expect(page.get_by_role("heading", name="First steps")).to_have_count(0)
        expect(page.get_by_role("heading", name="Peers by state")).to_be_visible()


def enroll_in_window(page: Page, server: Server, name: str, endpoint: str, screenshots: Path | None) -> None:
    """Create a peer in the first step that waits, and enroll its host with what the window shows."""
    page.get_by_role("button", name="New peer").first.click()
    form = in_window(page, "New peer")
    form.get_by_label("Name").fill(name)
    if endpoint:
        form.get_by_label("Endpoint").fill(endpoint)
    form.get_by_role("button", name="Create").click()
    handed = in_window(page, "Shown only now")
    expect(handed.get_by_label("On the host, as root")).to_contain_text(f"isthmus agent enroll --server {server.url}")
    token = handed.get_by_label("Enrollment token").inner_text()
    shoot(page, screenshots, f"enrollment-{name}-1280")
    with server.client() as host:
        host.post("/agent/enroll", json=enroll_body(token.strip())).raise_for_status()
    expect(handed.get_by_text("The host is here.")).to_be_visible()
    handed.get_by_role("button", name="I have it").click()


def test_a_peer_is_changed_gets_a_new_token_and_is_deleted(page: Page, server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    agent = Agent.enrolled(server, a_peer(admin, network))
    opened(page, f"/peers/{agent.peer_id}").get_by_role("button", name="Change peer").click()
    form = in_window(page, "Change peer")
    form.get_by_label("Owner").fill("ann")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("ann", exact=True)).to_be_visible()

    page.get_by_role("button", name="New enrollment token").click()
    in_window(page, "New enrollment token").get_by_role("button", name="New enrollment token").click()
    handed = in_window(page, "Shown only now")
    expect(handed.get_by_label("Enrollment token")).to_contain_text("isthmus-")
    handed.get_by_role("button", name="I have it").click()

    page.get_by_role("button", name="Delete peer").click()
    question = in_window(page, "Delete peer")
    expect(question).to_contain_text("every other peer forgets its key")
    question.get_by_role("button", name="Delete peer").click()
    expect(page.get_by_role("heading", level=1, name="Peers")).to_be_visible()
    assert admin.get(f"/peers/{agent.peer_id}").status_code == 404


def test_the_history_of_a_peer_shows_what_each_revision_changed(
    page: Page, server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin)
    Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    agent = Agent.enrolled(server, a_peer(admin, network))
    admin.patch(f"/networks/{network['id']}", json={"mtu": 1333}).raise_for_status()
    opened(page, f"/peers/{agent.peer_id}")
    buttons = page.get_by_role("button", name=re.compile("Show change|Config at this revision"))
    buttons.first.click()
    expect(page.locator("pre", has_text="1333")).to_be_visible()
    for _ in range(buttons.count()):
        buttons.first.click()
    expect(page.get_by_role("button", name="Hide")).not_to_have_count(0)
    expect(page.get_by_label("Loading")).to_have_count(0)
    assert page.get_by_role("alert").all_inner_texts() == []


def test_five_thousand_peers_are_a_quick_table_of_which_the_server_finds_what_is_asked_for(
    page: Page, admin: httpx2.Client
) -> None:
    network = a_network(admin, cidr_v4="10.128.0.0/16")
    for start in range(0, 5000, 1000):
        operations = [{"action": "create", "name": f"host-{each}"} for each in range(start, start + 1000)]
        answer = admin.post(f"/networks/{network['id']}/peers/bulk", json={"operations": operations}, timeout=120)
        answer.raise_for_status()
    opened(page, f"/peers?network={network['id']}")
    table = page.get_by_role("region", name="Peers")
    rows = table.get_by_role("row")
    expect(rows.nth(5)).to_be_visible()
    assert rows.count() < 60
    table.hover()
    for _ in range(3):
        table.evaluate("each => each.scrollTo(0, each.scrollHeight)")
        page.wait_for_function(
            "count => document.body.innerText.match(/([\\d,]+) peers shown/)?.[1] !== count", arg="200"
        )
    assert rows.count() < 60
    page.get_by_role("textbox", name="Search names").fill("host-4999")
    expect(table.get_by_role("link", name="host-4999")).to_be_visible()
    expect(page.get_by_text("1 peers shown")).to_be_visible()
    admin.delete(f"/networks/{network['id']}", params={"force": True}, timeout=120).raise_for_status()


def test_what_the_cli_changes_is_on_the_screen_without_a_reload(
    page: Page, server: Server, admin: httpx2.Client
) -> None:
    name = a_name("branch")
    opened(page, "/networks").evaluate("window.wasNotReloaded = true")
    settings = {"socket": str(server.local_socket)}
    command = [str(COMMAND), "network", "create", name, "--json"]
    made = subprocess.run(
        command, env=clean_environment(settings), capture_output=True, text=True, timeout=60, check=True
    )
    expect(page.get_by_role("link", name=name)).to_be_visible(timeout=ON_SCREEN)
    admin.delete(f"/networks/{json.loads(made.stdout)['id']}").raise_for_status()
    expect(page.get_by_role("link", name=name)).to_have_count(0)
    assert page.evaluate("window.wasNotReloaded") is True


@pytest.mark.case("SEED-057")
def test_an_incident_is_read_and_resolved_with_a_reason(page: Page, server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    agent = Agent.enrolled(server, a_peer(admin, network))
    incident = steal(agent)
    opened(page, f"/peers/{agent.peer_id}")
    expect(page.get_by_text("keeps this peer out of every config")).to_be_visible()
    page.get_by_role("link", name="Session conflict").click()
    expect(page.get_by_role("heading", level=1, name="Session conflict")).to_be_visible()
    seen = admin.get(f"/incidents/{incident}").json()
    standing = page.get_by_role("region", name="State")
    for each in (seen["peer"]["name"], seen["network"]["name"], "Blocks its peer", "Detected", incident):
        expect(standing).to_contain_text(each)
    evidence = page.get_by_role("region", name="What was seen")
    # Both hosts, and where each was heard from.
    expect(evidence.get_by_text("own", exact=True).first).to_be_visible()
    expect(evidence.get_by_text("copy", exact=True)).to_be_visible()
    expect(evidence).to_contain_text("Heard from 127.0.0.1")
    page.get_by_role("button", name="Resolve").click()
    form = in_window(page, "Resolve incident")
    form.get_by_label("Reason").fill("the copy is off")
    form.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("the copy is off")).to_be_visible()
    expect(standing).to_contain_text("Resolved")
    expect(standing).to_contain_text("admin")
    after = admin.get(f"/incidents/{incident}").json()
    assert (after["state"], after["reason"]) == ("resolved", "the copy is off")


def test_an_address_is_kept_back_and_given_back(page: Page, admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.66.0.0/24")
    opened(page, "/addresses")
    choose(page, "Network", network["name"])
    page.get_by_role("button", name="Reserve an address").click()
    form = in_window(page, "Reserve an address")
    form.get_by_label("Address").fill("10.66.0.9")
    form.get_by_label("Note").fill("the scanner")
    form.get_by_role("button", name="Reserve an address").click()
    expect(page.get_by_text("the scanner")).to_be_visible()
    page.get_by_role("button", name="Give back").click()
    in_window(page, "Give back").get_by_role("button", name="Give back").click()
    expect(page.get_by_text("the scanner")).to_have_count(0)
    assert admin.get(f"/networks/{network['id']}/reservations").json()["items"] == []


@pytest.mark.parametrize("path", ["/", "/networks", "/peers", "/topology", "/addresses", "/incidents"])
def test_a_page_whose_reading_fails_says_so_with_the_request_and_heals_on_demand(page: Page, path: str) -> None:
    def fail(route: Route) -> None:
        body = {"title": "Broken", "detail": "The store is away.", "code": "internal", "request_id": "request-7"}
        route.fulfill(status=500, json=body, content_type="application/problem+json")

    calls = re.compile(r"/api/v1/(networks|peers|incidents)(\?.*)?$")
    without_notices(page)
    page.route(calls, fail)
    page.goto(path)
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("request-7")
    page.unroute(calls, fail)
    alert.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_several_peers_are_changed_and_deleted_at_once_or_none_of_them(page: Page, admin: httpx2.Client) -> None:
    network = a_network(admin)
    made = [a_peer(admin, network)["peer"] for _ in range(3)]
    elsewhere = a_peer(admin, a_network(admin))["peer"]
    opened(page, "/peers")
    for each in (made[0], elsewhere):
        page.get_by_label(f"Choose {each['name']}", exact=True).check()
    expect(page.get_by_text("Choose peers of one network")).to_be_visible()
    opened(page, f"/peers?network={network['id']}")
    for each in made[:2]:
        page.get_by_label(f"Choose {each['name']}", exact=True).check()
    page.get_by_role("button", name="Put into groups").click()
    groups = in_window(page, "Put into groups").get_by_role("combobox", name="Groups")
    groups.fill("desks")
    groups.press("Enter")
    in_window(page, "Put into groups").get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert [admin.get(f"/peers/{each['id']}").json()["groups"] for each in made] == [["desks"], ["desks"], []]
    page.get_by_label("Choose all that are shown").check()
    expect(page.get_by_text("3 chosen")).to_be_visible()
    page.get_by_role("button", name="Delete chosen peers").click()
    question = in_window(page, "Delete chosen peers: 3")
    expect(question).to_contain_text("All of them or none")
    assert grave_findings(page) == []
    question.get_by_role("button", name="Delete chosen peers").click()
    expect(page.get_by_text("No peer fits these filters")).to_be_visible()
    assert admin.get("/peers", params={"network": network["id"]}).json()["items"] == []
    assert admin.get(f"/peers/{elsewhere['id']}").status_code == 200
