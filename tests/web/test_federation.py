"""What people do in the UI with other organisations: link, bridge, grant, explain, and cut off."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from isthmus.x509.request import make_request
from tests.api.agent import a_name, a_network
from tests.server import COMMAND, clean_environment, running
from tests.web.linked import CODE, MARKUP, Linked
from tests.web.looking import PATIENCE, grave_findings, opened, sign_in
from tests.web.test_journeys import choose, in_window


@pytest.fixture
def local(linked: Linked) -> Any:
    with linked.server.local() as client:
        yield client


def press(page: Page, button: str, window: str = "") -> None:
    (in_window(page, window) if window else page).get_by_role("button", name=button, exact=True).click()


def cut(page: Page, button: str, reason: str) -> None:
    """Press a button that asks for a reason, and give it."""
    press(page, button)
    window = page.get_by_role("dialog")
    window.get_by_label("Reason").fill(reason)
    window.get_by_role("button", name=button, exact=True).click()
    expect(window).to_have_count(0)


def test_two_backends_meet_by_an_invitation_and_a_code_that_people_compare(
    browser: Browser, tmp_path: Path, linked_page: Page
) -> None:
    with running(tmp_path) as server, browser.new_context(base_url=server.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        sign_in(page, server.password)
        meet(page, linked_page)


def meet(page: Page, linked_page: Page) -> None:
    """The backend of `page` is set up and invites that of `linked_page`, which accepts and then wants no more of it."""
    opened(page, "/remotes").get_by_role("link", name="Set up federation").click()
    press(page, "Set up federation")
    form = in_window(page, "Set up federation")
    form.get_by_role("textbox", name="Domain").fill("d.example")
    form.get_by_role("button", name="Set up federation").click()
    expect(form.get_by_role("alert")).to_contain_text("Request")
    form.get_by_role("combobox", name="Infra domains").fill("infra.d.example")
    form.get_by_role("combobox", name="Infra domains").press("Enter")
    form.get_by_role("button", name="Set up federation").click()
    expect(page.locator("pre")).to_contain_text("infra.d.example")

    opened(page, "/remotes")
    press(page, "Invite a remote")
    form = in_window(page, "Invite a remote")
    form.get_by_label("Domain of the other backend").fill("a.example")
    form.get_by_role("button", name="Invite a remote").click()
    text = in_window(page, "shown only now").get_by_label("Invitation", exact=True).inner_text()
    press(page, "I have it")
    expect(page.get_by_role("row", name=re.compile("a.example Open"))).to_be_visible()

    opened(linked_page, "/remotes")
    press(linked_page, "Accept an invitation")
    form = in_window(linked_page, "Accept an invitation")
    form.get_by_label("Invitation").fill("this is none")
    form.get_by_role("button", name="Accept an invitation").click()
    expect(form.get_by_role("alert")).to_contain_text("Request")
    form.get_by_label("Invitation").fill(text)
    form.get_by_role("button", name="Accept an invitation").click()
    code = in_window(linked_page, "Compare the short code").get_by_role("heading", level=3).inner_text()
    assert grave_findings(linked_page) == []
    press(linked_page, "I have it")
    expect(linked_page.get_by_role("heading", level=1, name="d.example")).to_be_visible()
    expect(linked_page.get_by_role("heading", level=3)).to_have_text(code)
    # No Federator runs here that could tell the other side.
    expect(linked_page.get_by_role("alert")).to_contain_text("could not be told yet")

    press(linked_page, "Remove")
    press(linked_page, "Remove", "Remove: d.example")
    expect(linked_page.get_by_role("heading", level=1, name="Remotes")).to_be_visible()
    expect(linked_page.get_by_role("link", name="d.example")).to_have_count(0)


def test_a_code_that_is_another_confirms_nothing(linked_page: Page, local: httpx2.Client) -> None:
    page = opened(linked_page, "/remotes/c.example")
    typed = page.get_by_label("Short code that the other side sees")
    typed.fill("E3YD-8HZ9-10Q8")
    press(page, "Confirm")
    expect(page.get_by_role("alert")).to_contain_text("Request")
    assert local.get("/remotes/c.example").json()["confirmed_here"] is False
    typed.fill(CODE)
    press(page, "Confirm")
    expect(page.get_by_text("Pending: confirmed here")).to_be_visible()
    assert local.get("/remotes/c.example").json()["confirmed_here"] is True


def test_a_remote_is_changed_cut_off_and_let_back(linked_page: Page, local: httpx2.Client) -> None:
    page = opened(linked_page, "/remotes/b.example")
    press(page, "Change")
    form = in_window(page, "Change")
    form.get_by_label("Needs DNSSEC").check()
    form.get_by_label("Contact").fill("their operator")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("their operator")).to_be_visible()
    assert local.get("/remotes/b.example").json()["needs_dnssec"] is True
    press(page, "Suspend")
    expect(in_window(page, "Suspend")).to_contain_text("refused")
    press(page, "Suspend", "Suspend")
    expect(page.get_by_text("Suspended", exact=True)).to_be_visible()
    assert local.get("/remotes/b.example").json()["state"] == "suspended"
    press(page, "Resume")
    press(page, "Resume", "Resume")
    expect(page.get_by_text("Active", exact=True)).to_be_visible()
    local.patch("/remotes/b.example", json={"contact": MARKUP, "needs_dnssec": False}).raise_for_status()


def test_instances_of_a_remote_are_blocked_and_its_keys_revoked(linked_page: Page, local: httpx2.Client) -> None:
    page = opened(linked_page, "/remotes/b.example")
    instance = local.get("/remotes/b.example").json()["instances"][0]["instance"]
    press(page, "Unblock")
    press(page, "Unblock", "Unblock")
    expect(page.get_by_role("button", name="Block", exact=True)).to_be_visible()
    cut(page, "Block", "it was stolen")
    assert local.get("/remotes/b.example").json()["instances"][0]["reason"] == "it was stolen"
    press(page, "Revoke an instance or key")
    form = in_window(page, "Revoke an instance or key")
    form.get_by_label("Which").fill(instance)
    form.get_by_label("Reason").fill("its key was read")
    form.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("table", name="Revoked leaves and keys")).to_contain_text("its key was read")


def test_the_doctor_says_which_link_is_broken_and_what_to_do(linked_page: Page) -> None:
    page = opened(linked_page, "/remotes/b.example")
    press(page, "Examine now")
    # No Federator runs beside this server, which is what the doctor has to say.
    expect(page.get_by_role("alert")).to_contain_text("Federator")
    assert grave_findings(page) == []


def test_a_bridge_is_proposed_accepted_and_makes_exactly_the_moves_that_are_allowed(
    linked_page: Page, linked: Linked, local: httpx2.Client
) -> None:
    page = opened(linked_page, "/bridges")
    network = a_network(local, name=a_name("branch"), cidr_v4="10.89.0.0/24")
    press(page, "Propose a bridge")
    form = in_window(page, "Propose a bridge")
    choose(page, "Remote", "b.example")
    choose(page, "Our network", network["name"])
    form.get_by_label("Reason").fill("for the spring")
    form.get_by_role("button", name="Propose a bridge").click()
    page.get_by_role("link", name=re.compile(network["name"])).first.click()
    expect(page.get_by_text("for the spring")).to_be_visible()
    # Their operator accepts what ours has proposed.
    expect(page.get_by_role("button", name="Accept", exact=True)).to_have_count(0)
    cut(page, "Revoke", "no longer")
    expect(page.get_by_role("button", name="Revoke", exact=True)).to_have_count(0)

    opened(page, f"/bridges/{linked.proposed}")
    press(page, "Accept")
    form = in_window(page, "Accept the bridge")
    choose(page, "Our network", network["name"])
    for prefix in ("10.97.2.0/24", "10.98.2.0/24"):
        form.get_by_label(prefix).uncheck()
    form.get_by_role("button", name="Accept", exact=True).click()
    expect(form.get_by_text("Choose one at least")).to_be_visible()
    form.get_by_label("10.98.2.0/24").check()
    assert grave_findings(page) == []
    form.get_by_role("button", name="Accept", exact=True).click()
    expect(page.get_by_role("button", name="Suspend", exact=True)).to_be_visible()
    assert local.get(f"/bridges/{linked.proposed}").json()["accepted"] == ["10.98.2.0/24"]
    expect(page.get_by_text("Offered and not let in")).to_be_visible()


def test_a_bridge_at_work_is_suspended_held_and_released_and_each_hold_is_lifted_by_itself(
    linked_page: Page, linked: Linked, local: httpx2.Client
) -> None:
    def state() -> tuple[str, list[str]]:
        bridge = local.get(f"/bridges/{linked.active}").json()
        return bridge["state"], bridge["holds"]

    page = opened(linked_page, f"/bridges/{linked.active}")
    expect(page.get_by_text("Passes: What grants allow")).to_be_visible()
    expect(page.get_by_role("table", name="Ways that are open")).to_contain_text("bob@b.example")
    cut(page, "Hold for an incident", "a stolen laptop")
    expect(page.get_by_text("Passes: Nothing")).to_be_visible()
    expect(page.get_by_role("button", name="Resume", exact=True)).to_have_count(0)
    assert state() == ("suspended", ["incident"])
    cut(page, "Suspend", "maintenance")
    cut(page, "Release from the incident", "it was found")
    assert state() == ("suspended", ["operator"])
    cut(page, "Resume", "")
    expect(page.get_by_text("Passes: What grants allow")).to_be_visible()
    assert state() == ("active", [])


def test_a_service_is_named_changed_and_kept_while_a_grant_names_it(
    linked_page: Page, linked: Linked, local: httpx2.Client
) -> None:
    page = opened(linked_page, "/services")
    name, address = a_name("forge"), local.get(f"/services/{linked.service}").json()["address"]
    press(page, "New service")
    form = in_window(page, "New service")
    form.get_by_label("Name").fill(name)
    choose(page, "Network", linked.network["name"])
    form.get_by_label("Address").fill(address)
    form.get_by_role("combobox", name="Ports").fill("8000-8080")
    form.get_by_role("combobox", name="Ports").press("Enter")
    form.get_by_role("button", name="Create").click()
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text("8000-8080 tcp")
    row.get_by_role("button", name="Change").click()
    form = in_window(page, "Change service")
    form.get_by_label("Note").fill("the build farm")
    form.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("the build farm")
    row.get_by_role("button", name="Delete").click()
    press(page, "Delete", f"Delete: {name}")
    expect(row).to_have_count(0)
    page.get_by_role("row", name=re.compile("wiki")).get_by_role("button", name="Delete").click()
    question = in_window(page, "Delete: wiki")
    question.get_by_role("button", name="Delete").click()
    expect(question.get_by_role("alert")).to_contain_text("grant")


def test_the_editor_says_in_words_what_a_grant_allows_warns_and_shows_the_token_once(
    linked_page: Page, linked: Linked, local: httpx2.Client
) -> None:
    page = opened(linked_page, "/grants")
    press(page, "New grant")
    form = in_window(page, "New grant")
    form.get_by_label("To whom").fill("eve@b.example")
    choose(page, "Resource", "wiki")
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_text("List what may use it, or say that this axis is open").first).to_be_visible()
    for axis in ("Instances", "Networks"):
        form.get_by_role("radiogroup", name=axis).get_by_text("Any: this axis is open").click()
    sources = form.get_by_label("Sources: Only these")
    sources.fill("10.99.7.0/24")
    sources.press("Enter")
    words = form.get_by_role("status")
    expect(words).to_contain_text("eve@b.example may connect to service wiki")
    expect(words).to_contain_text("from 10.99.7.0/24")
    expect(form.get_by_text("Nothing restricts this grant by instances, networks.")).to_be_visible()
    assert grave_findings(page) == []
    form.get_by_role("button", name="Create").click()
    handed = in_window(page, "Token, shown only now")
    token = handed.get_by_label("Token", exact=True).inner_text()
    assert token.startswith("isthmus-grant-")
    press(page, "I have it")
    page.get_by_role("link", name="eve@b.example").click()
    expect(page.get_by_role("heading", level=1, name="Grant: eve@b.example")).to_be_visible()
    assert token not in page.content()
    (made,) = [each for each in local.get("/grants").json()["items"] if each["subject"] == "eve@b.example"]
    assert (made["sources"], made["networks"]["mode"]) == ({"mode": "list", "entries": ["10.99.7.0/24"]}, "any")

    press(page, "Change grant")
    form = in_window(page, "Change grant")
    form.get_by_label("Note").fill("until the audit")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("until the audit")).to_be_visible()

    press(page, "New token")
    press(page, "New token", "New token")
    assert in_window(page, "Token, shown only now").get_by_label("Token", exact=True).inner_text() != token
    press(page, "I have it")

    cut(page, "Revoke", "the audit is over")
    expect(page.get_by_text(re.compile("the audit is over"))).to_be_visible()
    expect(page.get_by_role("button", name="Change grant")).to_have_count(0)


def test_a_denial_is_explained_by_the_axis_that_denies(linked_page: Page, linked: Linked) -> None:
    page = opened(linked_page, f"/grants/{linked.grant}")

    def explained(source: str) -> str:
        page.get_by_label("From address").fill(source)
        press(page, "Explain")
        verdict = page.get_by_role("region", name="Explain a call").get_by_role("status")
        expect(verdict).to_be_visible()
        expect(page.get_by_role("table", name="Axis")).to_contain_text(source)
        return verdict.inner_text()

    choose(page, "Over network", linked.network["name"])
    page.get_by_label("Instance", exact=True).fill("3f2504e0-4f89-41d3-9a0c-0305e82c3301")
    assert "source" in explained("192.0.2.7")
    passed = explained("10.99.0.7")
    assert "by source" not in passed
    row = page.get_by_role("table", name="Axis").get_by_role("row", name=re.compile("source"))
    expect(row).to_contain_text("Yes")
    assert grave_findings(page) == []


def test_a_process_is_certified_anew_and_ends_with_a_reason(linked_page: Page, local: httpx2.Client) -> None:
    page, name = opened(linked_page, "/instances"), a_name("app")
    press(page, "New instance")
    form = in_window(page, "New instance")
    form.get_by_role("textbox", name="Name").fill(name)
    form.get_by_label("Certificate request").fill("this is none")
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_role("alert")).to_contain_text("Request")
    form.get_by_label("Certificate request").fill(make_request()[1])
    form.get_by_role("button", name="Create").click()
    chain = in_window(page, "Certificate chain").get_by_label("Certificate chain", exact=True).last
    expect(chain).to_contain_text("BEGIN CERTIFICATE")
    press(page, "Done")
    row = page.get_by_role("row", name=re.compile(name))
    (made,) = [each for each in local.get("/instances").json()["items"] if each["name"] == name]
    row.get_by_role("button", name="Renew").click()
    form = in_window(page, f"Renew: {name}")
    form.get_by_label("Certificate request").fill(make_request()[1])
    form.get_by_role("button", name="Renew").click()
    press(page, "Done")
    renewed = local.get(f"/instances/{made['id']}").json()
    assert renewed["leaf"]["fingerprint"] != made["leaf"]["fingerprint"]
    row.get_by_role("button", name="Revoke").click()
    window = page.get_by_role("dialog")
    window.get_by_label("Reason").fill("its host was stolen")
    window.get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert local.get(f"/instances/{made['id']}").json()["reason"] == "its host was stolen"


def test_what_the_cli_does_with_federation_is_on_the_screen_without_a_reload(
    linked_page: Page, linked: Linked, local: httpx2.Client
) -> None:
    page = opened(linked_page, "/services")
    page.evaluate("window.wasNotReloaded = true")
    name, address = a_name("printer"), local.get(f"/services/{linked.service}").json()["address"]
    command = ["service", "create", name, "--network", linked.network["name"], "--address", address, "--port", "631"]
    environment = clean_environment({"socket": str(linked.server.local_socket)})
    made = subprocess.run(
        [str(COMMAND), *command, "--json"], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    expect(page.get_by_role("row", name=re.compile(name))).to_be_visible(timeout=5_000)
    local.delete(f"/services/{json.loads(made.stdout)['id']}").raise_for_status()
    expect(page.get_by_role("row", name=re.compile(name))).to_have_count(0)
    assert page.evaluate("window.wasNotReloaded") is True


def test_two_browsers_see_what_each_other_does_and_an_older_form_overwrites_nothing(
    signed_in_to_linked: BrowserContext, linked_page: Page, linked: Linked, local: httpx2.Client
) -> None:
    other = signed_in_to_linked.new_page()
    for each in (linked_page, other):
        opened(each, f"/grants/{linked.grant}")
        press(each, "Change grant")
    for each, note in ((other, "hers"), (linked_page, "his")):
        form = in_window(each, "Change grant")
        form.get_by_label("Note").fill(note)
        form.get_by_role("button", name="Save").click()
    expect(in_window(linked_page, "Change grant")).to_contain_text("Precondition failed")
    in_window(linked_page, "Change grant").get_by_role("button", name="Cancel").last.click()
    expect(linked_page.get_by_text("hers", exact=True)).to_be_visible()
    assert local.get(f"/grants/{linked.grant}").json()["note"] == "hers"
    local.patch(f"/grants/{linked.grant}", json={"note": MARKUP}).raise_for_status()
    other.close()
