"""What an owner does with accounts in the UI, and what those see of it who get one."""

import re
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, Page, expect

from tests.api.agent import a_name, a_network, a_peer
from tests.server import Server, running
from tests.web.looking import DESKTOP, PATIENCE, PHONE, grave_findings, opened, overflow, shoot, sign_in
from tests.web.test_federation import press
from tests.web.test_journeys import choose, in_window

OF_MESH = ["Dashboard", "Networks", "Peers", "Topology", "Addresses", "Incidents", "API tokens", "Settings"]


def test_a_network_admin_gets_an_account_and_sees_and_changes_that_network_alone(
    page: Page, browser: Browser, server: Server, admin: httpx2.Client, screenshots: Path | None
) -> None:
    own, other, name = a_network(admin), a_network(admin), a_name("ada")
    mine, foreign = a_peer(admin, own)["peer"]["name"], a_peer(admin, other)["peer"]["name"]
    password = made_account(page, name, own["name"])
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text(own["name"])
    shoot(page, screenshots, "accounts")
    with browser.new_context(base_url=server.url, viewport=DESKTOP) as context:
        context.set_default_timeout(PATIENCE)
        ada = context.new_page()
        sign_in(ada, password, name)
        menu = ada.get_by_role("navigation")
        expect(menu.get_by_role("link")).to_have_text(OF_MESH)
        expect(ada.get_by_role("alert")).to_have_count(0)
        opened(ada, "/peers")
        expect(ada.get_by_text(mine)).to_be_visible()
        expect(ada.get_by_text(foreign)).to_have_count(0)
        opened(ada, f"/networks/{other['id']}")
        expect(ada.get_by_role("alert").first).to_contain_text(f"there is no network {other['id']}")
        opened(ada, "/settings")
        expect(ada.get_by_role("alert")).to_have_count(0)
        # What the owner changes counts at once, without another sign-in.
        row.get_by_role("button", name="Change", exact=True).click()
        choose(page, "Role", "Auditor")
        in_window(page, f"Change: {name}").get_by_role("button", name="Save").click()
        expect(row).to_contain_text("Auditor")
        opened(ada, "/peers")
        expect(ada.get_by_text(foreign)).to_be_visible()
        expect(menu.get_by_role("link", name="Audit")).to_be_visible()
        expect(menu.get_by_role("link", name="Accounts")).to_have_count(0)
        press_in_row(page, name, "Disable")
        expect(row).to_contain_text("Disabled")
        expect(ada.get_by_role("button", name="Sign in")).to_be_visible()
    press_in_row(page, name, "Delete")
    expect(row).to_have_count(0)


def made_account(page: Page, name: str, network: str) -> str:
    """Make a network admin on the page; returns the password that it shows once."""
    press(opened(page, "/accounts"), "New account")
    form = in_window(page, "New account")
    form.get_by_label("Name").fill(name)
    choose(page, "Role", "Network admin")
    form.get_by_role("combobox", name="Networks").click()
    page.get_by_role("option", name=network).click()
    page.keyboard.press("Escape")
    assert grave_findings(page) == []
    form.get_by_role("button", name="Create").click()
    shown = in_window(page, "Password, shown only now")
    password: str = shown.locator("code, pre").first.inner_text()
    assert len(password) >= 12
    press(page, "I have it")
    return password


def press_in_row(page: Page, name: str, button: str) -> None:
    page.get_by_role("row", name=re.compile(name)).get_by_role("button", name=button, exact=True).click()
    in_window(page, f"{button}: {name}").get_by_role("button", name=button, exact=True).click()


def test_the_page_of_accounts_is_whole_on_a_phone(page: Page, screenshots: Path | None) -> None:
    page.set_viewport_size(PHONE)
    opened(page, "/accounts")
    assert overflow(page) == 0
    assert grave_findings(page) == []
    shoot(page, screenshots, "accounts-phone")


def test_a_fresh_backend_is_set_up_on_its_page_once(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as fresh, browser.new_context(base_url=fresh.url, viewport=DESKTOP) as context:
        context.set_default_timeout(PATIENCE)
        owner = context.new_page()
        owner.goto("/")
        owner.get_by_role("link", name=re.compile("First time here")).click()
        owner.get_by_label("Password that was shown").fill(fresh.password)
        owner.get_by_label("User name").fill("ada")
        owner.get_by_label("New password", exact=True).fill("a long password of my own")
        owner.get_by_label("New password again").fill("a long password of my own")
        assert grave_findings(owner) == []
        owner.get_by_role("button", name="Set up").click()
        expect(owner.get_by_role("heading", name="Dashboard")).to_be_visible()
        owner.get_by_role("button", name="Sign out").click()
        expect(owner.get_by_role("button", name="Sign in")).to_be_visible()
        expect(owner.get_by_role("link", name=re.compile("First time here"))).to_have_count(0)
        owner.goto("/setup")
        expect(owner.get_by_role("alert")).to_contain_text("has its owner")
