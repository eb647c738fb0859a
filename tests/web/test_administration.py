"""What people do in the UI with the backend itself: its log, its people, tokens, templates, keys and their password."""

import re
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.agent import a_name
from tests.server import running
from tests.web.linked import Linked
from tests.web.looking import PATIENCE, grave_findings, opened, sign_in
from tests.web.test_federation import press
from tests.web.test_journeys import choose, in_window


def test_the_log_is_filtered_shows_what_was_done_and_says_how_far_it_is_sealed(
    page: Page, admin: httpx2.Client
) -> None:
    name = a_name("audited")
    made = admin.post("/networks", json={"name": name}).raise_for_status().json()
    opened(page, "/audit").get_by_label("Action", exact=True).fill("network.cre*")
    page.get_by_label("Subject", exact=True).fill(made["id"])
    row = page.get_by_role("row", name=re.compile("network.create"))
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Done")
    row.get_by_role("button", name="Details").click()
    expect(page.get_by_text(name)).to_be_visible()
    expect(page.get_by_text("Request id")).to_be_visible()
    choose(page, "Outcome", "Denied")
    expect(page.get_by_text("No such entries")).to_be_visible()
    expect(page.get_by_role("region", name="Chain")).to_contain_text("Sealed up to")
    press(page, "Ask the witnesses")
    expect(page.get_by_role("region", name="Chain").get_by_role("status")).to_be_visible()
    assert grave_findings(page) == []


def test_a_person_is_put_into_the_directory_and_shown_to_one_remote_otherwise(
    linked_page: Page, linked: Linked
) -> None:
    page, handle = opened(linked_page, "/people"), a_name("eve")
    press(page, "New person")
    form = in_window(page, "New person")
    form.get_by_label("Handle").fill("No Handle")
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_role("alert")).to_contain_text("Request")
    form.get_by_label("Handle").fill(handle)
    form.get_by_role("button", name="Create").click()
    row = page.get_by_role("row", name=re.compile(handle))
    row.get_by_role("button", name="Change").click()
    choose(page, "Remote", "b.example")
    form = in_window(page, f"Change: {handle}")
    form.get_by_role("combobox", name="Visible to remotes").last.click()
    page.get_by_role("option", name="To nobody").last.click()
    form.get_by_role("button", name="Say it for one remote").click()
    expect(row).to_contain_text("b.example: To nobody")
    row.get_by_role("button", name="Delete").click()
    press(page, "Delete", f"Delete: {handle}")
    expect(row).to_have_count(0)
    with linked.server.local() as local:
        assert handle not in local.get("/users").text


@pytest.mark.case("SEED-006")
def test_somebody_of_a_remote_is_named_by_the_domain_that_was_asked(linked_page: Page) -> None:
    profile = {"id": "0199", "handle": "alice", "domain": "b.example", "display_name": "alice@c.example"}
    linked_page.route(re.compile("/directory/lookup"), lambda route: route.fulfill(status=200, json=profile))
    page = opened(linked_page, "/people")
    page.get_by_label("Name begins with").fill("alice@b.example")
    press(page, "Search")
    row = page.get_by_role("table", name="Found").get_by_role("row").nth(1)
    expect(row.get_by_role("cell").first).to_have_text("alice@b.example")
    # What the remote calls its people is text, and marked as theirs.
    expect(row.locator(".foreign")).to_have_text("alice@c.example")


def test_a_token_is_shown_once_works_and_ends_at_once(page: Page, linked: Linked, admin: httpx2.Client) -> None:
    name = a_name("script")
    opened(page, "/tokens")
    press(page, "New token")
    form = in_window(page, "New token")
    form.get_by_label("What it is for").fill(name)
    form.get_by_role("button", name="Create").click()
    token = in_window(page, "Token, shown only now").get_by_label("Token", exact=True).inner_text()
    press(page, "I have it")
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text("read")
    assert token not in page.content()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx2.get(f"{page.url.removesuffix('/tokens')}/api/v1/networks", headers=headers).status_code == 200
    row.get_by_role("button", name="Revoke").click()
    press(page, "Revoke", f"Revoke: {name}")
    expect(row).to_have_count(0)
    assert httpx2.get(f"{page.url.removesuffix('/tokens')}/api/v1/networks", headers=headers).status_code == 401


def test_a_template_is_made_changed_and_deleted(page: Page, admin: httpx2.Client) -> None:
    name = a_name("small")
    opened(page, "/settings")
    press(page, "New template")
    form = in_window(page, "New template")
    form.get_by_role("textbox", name="Name").fill(name)
    form.get_by_label("MTU").fill("1380")
    form.get_by_role("button", name="Save").click()
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text("1380")
    row.get_by_role("button", name="Change").click()
    form = in_window(page, "Change template")
    form.get_by_label("MTU").fill("1400")
    form.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("1400")
    row.get_by_role("button", name="Delete").click()
    press(page, "Delete", f"Delete: {name}")
    expect(row).to_have_count(0)
    assert admin.get("/network-templates", params={"name": name}).json()["items"] == []


def test_certificates_are_renewed_and_one_is_revoked(linked_page: Page, linked: Linked) -> None:
    page = opened(linked_page, "/settings")
    table = page.get_by_role("table", name="Certificates and keys of this backend")
    before = table.inner_text()
    press(page, "Issue new leaves")
    press(page, "Issue new leaves", "Issue new leaves")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(table).not_to_have_text(before)
    table.get_by_role("button", name="Revoke").first.click()
    window = page.get_by_role("dialog")
    window.get_by_label("Reason").fill("a laptop was stolen")
    window.get_by_role("button", name="Revoke").click()
    expect(table).to_contain_text("revoked")


def test_a_password_is_changed_and_the_one_before_lets_nobody_in(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as server, browser.new_context(base_url=server.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        sign_in(page, server.password)
        opened(page, "/settings")
        page.get_by_label("Present password").fill(server.password)
        page.get_by_label("New password", exact=True).fill("a much longer one 47")
        page.get_by_label("New password again").fill("another one than that")
        press(page, "Change password")
        expect(page.get_by_text("Is not the same")).to_be_visible()
        page.get_by_label("New password again").fill("a much longer one 47")
        press(page, "Change password")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.get_by_label("Password", exact=True).fill(server.password)
        press(page, "Sign in")
        expect(page.get_by_role("alert")).to_contain_text("Request")
        sign_in(page, "a much longer one 47")
