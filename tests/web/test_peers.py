"""A peer of each kind from its making to its end, in the UI."""

import re
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.api.agent import a_name, a_network
from tests.web.looking import opened
from tests.web.test_journeys import in_window

KINDS = {"jump": "Jump", "dynamic": "Dynamic", "static": "Static"}
ENDPOINT = "198.51.100.7:51820"


def peers_of(admin: httpx2.Client, network: Any) -> list[Any]:
    return list(admin.get("/peers", params={"network": network["id"]}).raise_for_status().json()["items"])


@pytest.mark.case("SEED-056")
@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_of_each_kind_is_made_with_what_it_needs_changed_and_deleted(
    page: Page, admin: httpx2.Client, kind: str
) -> None:
    network, name = a_network(admin, cidr_v4=None), a_name(kind)
    opened(page, f"/peers?network={network['id']}").get_by_role("button", name="New peer").first.click()
    form = in_window(page, "New peer")
    expect(form.get_by_role("combobox", name="Network")).to_have_value(network["name"])
    form.get_by_role("radio", name=KINDS[kind]).check()
    form.get_by_role("textbox", name="Name").fill(name)
    endpoint = form.get_by_role("textbox", name=re.compile("^Endpoint"))
    expect(endpoint).to_have_count(0 if kind == "static" else 1)
    form.get_by_role("button", name="More settings").click()
    expect(form.get_by_role("textbox", name="Its own public key")).to_have_count(1 if kind == "static" else 0)
    if kind == "jump":
        form.get_by_role("button", name="Create").click()
        expect(form).to_be_visible()
        assert peers_of(admin, network) == []
        endpoint.fill(ENDPOINT)
    form.get_by_role("button", name="Create").click()
    handed = in_window(page, "Shown only now")
    if kind == "static":
        expect(handed.get_by_label("Config for wg-quick")).to_contain_text("PrivateKey")
    else:
        expect(handed.get_by_label("Enrollment token")).to_contain_text("isthmus-")
    handed.get_by_role("button", name="I have it").click()

    (made,) = peers_of(admin, network)
    assert (made["name"], made["kind"], made["endpoint"]) == (name, kind, ENDPOINT if kind == "jump" else None)
    opened(page, f"/peers/{made['id']}")
    shown = page.get_by_role("main")
    expect(shown.get_by_text(re.compile(f"^{KINDS[kind]}"))).not_to_have_count(0)
    for address in made["addresses"]:
        expect(shown.get_by_text(address).first).to_be_visible()

    page.get_by_role("button", name="Change peer").click()
    form = in_window(page, "Change peer")
    expect(form.get_by_role("radio")).to_have_count(0)
    form.get_by_label("Owner").fill("ann")
    form.get_by_role("textbox", name="Name").fill(f"{name}-new")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name=f"{name}-new")).to_be_visible()
    (after,) = peers_of(admin, network)
    assert (after["name"], after["owner"], after["kind"]) == (f"{name}-new", "ann", kind)
    assert (after["id"], after["addresses"]) == (made["id"], made["addresses"])

    page.get_by_role("button", name="Delete peer").click()
    in_window(page, "Delete peer").get_by_role("button", name="Delete peer").click()
    expect(page.get_by_role("heading", level=1, name="Peers")).to_be_visible()
    assert peers_of(admin, network) == []
