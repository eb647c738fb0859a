"""The main journeys by keyboard, on a phone, and while the server is slow, fails and comes back."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.api.test_incidents import steal
from tests.server import running
from tests.web.hands import Keyboard, Mouse
from tests.web.linked import Linked
from tests.web.looking import DESKTOP, PATIENCE, PHONE, opened, overflow, sign_in, without_notices
from tests.web.test_journeys import in_window

SLOW = 0.25  # seconds for each call
WAYS = ("keyboard", "phone", "slow and failing")
API = re.compile(r"/api/v1/(?!events)")


class Unsteady:
    """The server is slow, and the first of each kind of change meets one that is overloaded."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

    def __call__(self, route: Route) -> None:
        time.sleep(SLOW)
        method, kind = route.request.method, route.request.url.rpartition("/")[2]
        if method == "GET" or kind in self.refused:
            route.continue_()
            return
        self.refused.add(kind)
        body = {"title": "Overloaded", "detail": "Come back.", "code": "overloaded", "request_id": "request-8"}
        route.fulfill(status=503, json=body, content_type="application/problem+json")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hands(linked_page: Page, way: str) -> Iterator[Mouse]:
    linked_page.set_viewport_size(PHONE if way == "phone" else DESKTOP)
    unsteady = Unsteady()
    if way == "slow and failing":
        linked_page.route(API, unsteady)
    yield Keyboard(linked_page) if way == "keyboard" else Mouse(linked_page)
    assert overflow(linked_page) <= 0
    # Each journey has met the failure and gone on from there.
    assert bool(unsteady.refused) == (way == "slow and failing")


def send(hands: Mouse, way: str, window: str, button: str) -> None:
    """Press the button of a form; where the server fails, once more, with nothing filled in anew."""
    form = in_window(hands.page, window)
    hands.press(form.get_by_role("button", name=button, exact=True))
    if way == "slow and failing":
        expect(form.get_by_role("alert").filter(has_text="request-8")).to_be_visible()
        hands.press(form.get_by_role("button", name=button, exact=True))
    expect(form).to_have_count(0)


@pytest.fixture
def local(linked: Linked) -> Iterator[httpx2.Client]:
    with linked.server.local() as client:
        yield client


@pytest.mark.case("WEB-005")
def test_a_peer_is_added(hands: Mouse, way: str, linked: Linked) -> None:
    page, name = opened(hands.page, f"/peers?network={linked.network['id']}"), a_name("tablet")
    hands.press(page.get_by_role("button", name="New peer"))
    form = in_window(page, "New peer")
    hands.write(form.get_by_role("textbox", name="Name"), name)
    send(hands, way, "New peer", "Create")
    handed = in_window(page, "Shown only now")
    expect(handed.get_by_label("Enrollment token")).to_contain_text("isthmus-")
    hands.press(handed.get_by_role("button", name="I have it"))
    hands.write(page.get_by_role("textbox", name="Search names"), name)
    expect(page.get_by_role("link", name=name)).to_be_visible()


@pytest.mark.case("WEB-005")
def test_a_bridge_is_accepted(hands: Mouse, way: str, linked: Linked, local: httpx2.Client) -> None:
    bridge: UUID = linked.more[WAYS.index(way)]
    network = a_network(local, name=a_name("hall"), cidr_v4=f"10.90.{WAYS.index(way)}.0/24")
    page = opened(hands.page, f"/bridges/{bridge}")
    hands.press(page.get_by_role("button", name="Accept", exact=True))
    form = in_window(page, "Accept the bridge")
    hands.choose(form.get_by_role("combobox", name="Our network"), network["name"])
    send(hands, way, "Accept the bridge", "Accept")
    expect(page.get_by_role("button", name="Suspend", exact=True)).to_be_visible()
    assert local.get(f"/bridges/{bridge}").json()["state"] == "active"


@pytest.mark.case("WEB-005")
def test_a_denial_is_read(hands: Mouse, way: str, linked: Linked) -> None:
    page = opened(hands.page, f"/grants/{linked.grant}")
    hands.choose(page.get_by_role("combobox", name="Over network"), linked.network["name"])
    hands.write(page.get_by_label("From address"), "192.0.2.7")
    ask = page.get_by_role("button", name="Explain", exact=True)
    hands.press(ask)
    if way == "slow and failing":
        expect(page.get_by_role("alert").filter(has_text="request-8")).to_be_visible()
        hands.press(ask)
    verdict = page.get_by_role("region", name="Explain a call").get_by_role("status")
    expect(verdict).to_contain_text("axis_denied")
    expect(page.get_by_role("table", name="Axis")).to_contain_text("192.0.2.7")


@pytest.mark.case("WEB-005")
def test_an_incident_is_resolved(hands: Mouse, way: str, linked: Linked, local: httpx2.Client) -> None:
    incident = steal(Agent.enrolled(linked.server, a_peer(local, linked.network)))
    page = opened(hands.page, f"/incidents/{incident}")
    hands.press(page.get_by_role("button", name="Resolve"))
    hands.write(in_window(page, "Resolve incident").get_by_label("Reason"), "the copy is off")
    send(hands, way, "Resolve incident", "Resolve")
    expect(page.get_by_text("the copy is off")).to_be_visible()
    assert local.get(f"/incidents/{incident}").json()["state"] == "resolved"


PAGES = (
    "/", "/networks", "/peers", "/addresses", "/incidents", "/remotes", "/bridges", "/services", "/grants",
    "/instances", "/findings", "/backend", "/people", "/audit", "/accounts", "/tokens", "/settings",
)  # fmt: skip


@pytest.mark.case("WEB-005")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_that_it_loads_that_it_failed_and_with_which_request(linked_page: Page, path: str) -> None:
    reading = re.compile(r"/api/v1/(?!events|auth|directory)")
    is_failing = True

    def answer(route: Route) -> None:
        time.sleep(SLOW)
        body = {"title": "Broken", "detail": "The store is away.", "code": "internal", "request_id": "request-7"}
        if is_failing:
            route.fulfill(status=500, json=body, content_type="application/problem+json")
        else:
            route.continue_()

    without_notices(linked_page)
    linked_page.route(reading, answer)
    linked_page.goto(path)
    expect(linked_page.get_by_role("status", name="Loading").first).to_be_visible()
    alert = linked_page.get_by_role("alert").filter(has_text="request-7").first
    expect(alert).to_be_visible()
    # All that the page reads has failed by now: what fails after the click would ask for one of its own.
    expect(linked_page.get_by_label("Loading")).to_have_count(0)
    is_failing = False
    alert.get_by_role("button", name="Try again").click()
    expect(linked_page.get_by_role("alert").filter(has_text="request-7")).to_have_count(0)
    expect(linked_page.get_by_label("Loading")).to_have_count(0)


@pytest.mark.case("WEB-005")
def test_an_empty_backend_says_on_each_page_what_is_missing_and_live_updates_resume_without_a_reload(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path) as server, browser.new_context(base_url=server.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        sign_in(page, server.password)
        for path in PAGES:
            assert len(opened(page, path).get_by_role("main").inner_text()) > 20, path
            expect(page.get_by_role("alert")).to_have_count(0)
        opened(page, "/networks").evaluate("window.wasNotReloaded = true")
        expect(page.get_by_text("There is no network yet")).to_be_visible()
        server.stop()
        expect(page.get_by_text("Connection lost")).to_be_visible()
        server.start()
        with server.local() as local:
            expect(page.get_by_role("banner").get_by_text("Live", exact=True)).to_be_visible()
            for name in ("first", "second"):
                a_network(local, name=name)
                expect(page.get_by_role("link", name=name)).to_be_visible()
        assert page.evaluate("window.wasNotReloaded") is True
