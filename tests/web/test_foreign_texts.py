"""Texts that others have written are shown as text, wherever a page shows one."""

from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from lab.waiting import wait_until
from tests.api.agent import Agent, a_peer, enroll_body
from tests.foreign import HOSTILE
from tests.web.linked import MARKUP, Linked
from tests.web.looking import opened

# Where a text of others stands in the page, and whether each is marked as one.
FOREIGN_TEXTS = """() => {
    const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const holder = node.parentElement
        if (!node.data.includes('window.ran') || ['SCRIPT', 'TITLE'].includes(holder.tagName)) continue
        found.push({said: node.data, marked: holder.closest('.foreign') !== null, near: holder.outerHTML})
    }
    return found
}"""
OURS = {"'self'", "'none'", "data:", "blob:"}


@pytest.fixture(scope="module")
def shown_at(linked: Linked) -> dict[str, str]:
    """The path of each page that shows texts of others."""
    with linked.server.local() as admin:
        reuse = an_incident_of_somebody(linked, admin)
    return {
        "remote": "/remotes/b.example",
        "bridge": f"/bridges/{linked.active}",
        "services": "/services",
        "grant": f"/grants/{linked.grant}",
        "held grants": "/grants",
        "findings": "/findings",
        "people": "/people",
        "peer": f"/peers/{linked.laptop.peer_id}",
        "incident": f"/incidents/{reuse}",
    }


def an_incident_of_somebody(linked: Linked, admin: httpx2.Client) -> str:
    """Somebody shows a token that was used, from a host with a hostile name."""
    made = a_peer(admin, linked.network)
    Agent.enrolled(linked.server, made)
    body = enroll_body(made["enrollment"]["token"]) | {"hostname": MARKUP}
    with linked.server.client() as host:
        assert host.post("/agent/enroll", json=body).status_code == 401
    found: list[str] = []

    def is_open() -> bool:
        items = admin.get("/incidents", params={"type": "enrollment_reuse"}).json()["items"]
        found[:] = [each["id"] for each in items]
        return bool(found)

    wait_until(is_open, within=10, what="the incident")
    return found[0]


PAGES = ("remote", "bridge", "services", "grant", "held grants", "findings", "people", "peer", "incident")


@pytest.mark.case("WEB-003", "PATH-009")
@pytest.mark.parametrize("name", PAGES)
def test_markup_of_others_is_shown_as_text_and_marked(linked_page: Page, shown_at: dict[str, str], name: str) -> None:
    page = opened(linked_page, shown_at[name])
    if name == "held grants":
        page.get_by_text("Given to us").click()
        expect(page.get_by_role("table", name="Given to us")).to_be_visible()
    found: list[Any] = page.evaluate(FOREIGN_TEXTS)
    assert found
    assert [each["near"] for each in found if not each["marked"]] == []
    assert all(MARKUP in each["said"] for each in found)
    # A mark that turns the direction around is written out.
    assert "\u202e" not in page.inner_text("body")
    assert page.locator('img[src="x"]').count() == 0
    assert page.evaluate("window.ran") is None


@pytest.mark.case("WEB-003")
def test_ordinary_text_of_others_is_shown_as_it_is(linked_page: Page, linked: Linked) -> None:
    said = "Grüße, שלום & <3"
    with linked.server.local() as admin:
        admin.patch(f"/grants/{linked.grant}", json={"note": said}).raise_for_status()
        page = opened(linked_page, f"/grants/{linked.grant}")
        expect(page.locator(".foreign", has_text=said)).to_have_text(said)
        admin.patch(f"/grants/{linked.grant}", json={"note": MARKUP}).raise_for_status()


@pytest.mark.case("PATH-009")
def test_text_in_the_syntax_of_something_else_is_shown_as_it_is(linked_page: Page, linked: Linked) -> None:
    with linked.server.local() as admin:
        for said in [text for text in HOSTILE.values() if text.isprintable()]:
            admin.patch(f"/grants/{linked.grant}", json={"note": said}).raise_for_status()
            page = opened(linked_page, f"/grants/{linked.grant}")
            expect(page.locator(".foreign").get_by_text(said, exact=True).first).to_be_visible()
            assert page.evaluate("window.ran") is None
        admin.patch(f"/grants/{linked.grant}", json={"note": MARKUP}).raise_for_status()


@pytest.mark.case("WEB-003")
def test_a_name_with_markup_is_none(linked: Linked) -> None:
    with linked.server.local() as admin:
        path = f"/networks/{linked.network['id']}/peers"
        assert admin.post(path, json={"name": MARKUP}).status_code == 422


@pytest.mark.case("WEB-003")
def test_the_policy_of_every_page_runs_no_script_but_its_own(linked: Linked, shown_at: dict[str, str]) -> None:
    for path in ("/", *shown_at.values()):
        page = httpx2.get(f"{linked.server.url}{path}", headers={"Accept": "text/html"})
        policy = page.headers["content-security-policy"]
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        sources = {source for part in policy.split(";") for source in part.split()[1:]}
        assert {each for each in sources if not each.startswith("'nonce-")} <= OURS, policy
