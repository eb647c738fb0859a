"""What pages of other sites can do with the session of somebody who is signed in: nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from isthmus.server.adapters.http.access import ACCESS, API, Need
from isthmus.server.adapters.http.browser import CSRF, CSRF_HEADER, SAFE, SESSION
from tests.api.agent import a_name
from tests.server import CALL_SECONDS, Server
from tests.web.looking import opened

FOREIGN = "http://evil.example"
# What a person may do; agents and what is done over the server's own socket have no cookie.
PERSONAL = {Need.READ, Need.WRITE, Need.ADMIN}
MUTATIONS = sorted(key for key, need in ACCESS.items() if key[0] not in SAFE | {"WS"} and need in PERSONAL)
LOGS = ("audit_log", "audit_links", "backend")
FORM = f"""<!doctype html><title>Prizes</title>
<form method="post" action="{{url}}{API}/networks" enctype="text/plain">
<input name='{{{{"name": "planted", "x": "' value='"}}}}'></form>"""
FETCH = """async ([url, headers]) => {
    const body = '{"name": "planted"}'
    const send = mode => fetch(url, {method: 'POST', mode, credentials: 'include', headers, body})
    return await Promise.all(['cors', 'no-cors'].map(mode => send(mode).then(answer => answer.type, () => 'blocked')))
}"""
SOCKET = """url => new Promise(done => {
    const socket = new WebSocket(url)
    socket.onopen = () => done('open')
    socket.onerror = () => done('refused')
})"""


@pytest.fixture
def cookies(signed_in: BrowserContext, server: Server) -> dict[str, str]:
    """What the browser keeps for the server."""
    return {str(each["name"]): str(each["value"]) for each in signed_in.cookies(server.url)}


@pytest.fixture
def browser_like(server: Server, cookies: dict[str, str]) -> Iterator[httpx2.Client]:
    """Sends what a browser would, wherever a page comes from."""
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    with httpx2.Client(base_url=server.url, headers={"Cookie": header}, timeout=CALL_SECONDS) as client:
        yield client


def state_of(server: Server) -> list[str]:
    """The whole database but its log."""
    logs = tuple(f'INSERT INTO "{name}"' for name in LOGS)
    with closing(sqlite3.connect(server.data / "isthmus.db")) as database:
        return [line for line in database.iterdump() if not line.startswith(logs)]


def rows(server: Server) -> list[tuple[str, str]]:
    """Outcome and reason of each audit row."""
    with closing(sqlite3.connect(server.data / "isthmus.db")) as database:
        return [tuple(row) for row in database.execute("SELECT outcome, reason FROM audit_log ORDER BY number")]


def path_of(route: str) -> str:
    """The path of a route with something in each place of it."""
    return "/".join(str(uuid4()) if part.startswith("{") else part for part in route.split("/"))


@pytest.mark.case("WEB-001")
@pytest.mark.parametrize("guess", [None, "bm8gc3VjaCB0b2tlbg"], ids=["without a token", "with a guessed token"])
@pytest.mark.parametrize("origin", [FOREIGN, "null", None])
def test_no_mutation_is_done_for_another_site(
    server: Server, browser_like: httpx2.Client, origin: str | None, guess: str | None
) -> None:
    headers = {name: value for name, value in (("Origin", origin), (CSRF_HEADER, guess)) if value is not None}
    before = state_of(server)
    for method, route in MUTATIONS:
        counted = len(rows(server))
        answer = browser_like.request(method, path_of(route), json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), (method, route)
        assert rows(server)[counted:] == [("denied", "csrf_failed")], (method, route)
    assert state_of(server) == before


@pytest.mark.case("WEB-001")
def test_what_the_ui_sends_is_done(server: Server, browser_like: httpx2.Client, cookies: dict[str, str]) -> None:
    name = a_name("ours")
    headers = {"Origin": server.url, CSRF_HEADER: cookies[CSRF]}
    made = browser_like.post(f"{API}/networks", json={"name": name}, headers=headers)
    assert made.status_code == 201, made.text
    path = f"{API}/networks/{made.json()['id']}"
    assert browser_like.delete(path, headers=headers | {CSRF_HEADER: cookies[CSRF][:-2] + "xx"}).status_code == 403
    assert browser_like.delete(path, headers=headers).status_code == 204


@pytest.fixture
def foreign_page(signed_in: BrowserContext, server: Server) -> Iterator[Page]:
    """A page of another site in the browser of somebody who is signed in."""
    page = signed_in.new_page()
    page.route(f"{FOREIGN}/*", lambda route: route.fulfill(body=FORM.format(url=server.url), content_type="text/html"))
    page.goto(f"{FOREIGN}/")
    yield page
    page.close()


@pytest.mark.case("WEB-001")
def test_a_page_of_another_site_in_the_same_browser_changes_nothing(foreign_page: Page, server: Server) -> None:
    before, counted = state_of(server), len(rows(server))
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/json", CSRF_HEADER: "guess"}):
        assert foreign_page.evaluate(FETCH, [f"{server.url}{API}/networks", headers])[0] == "blocked"
    with foreign_page.expect_navigation():
        foreign_page.evaluate("document.forms[0].submit()")
    assert "csrf_failed" in foreign_page.content()
    assert "planted" not in str(state_of(server))
    assert state_of(server) == before
    assert len(rows(server)) - counted >= 2
    assert set(rows(server)[counted:]) == {("denied", "csrf_failed")}


@pytest.mark.case("WEB-002")
@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://rebound.example:{port}"])
def test_no_page_of_another_origin_opens_the_websocket(server: Server, cookies: dict[str, str], origin: str) -> None:
    port = server.address.rpartition(":")[2]
    given: Any = origin.format(port=port)
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    if "rebound" in origin:
        headers["Host"] = f"rebound.example:{port}"
    before, counted = state_of(server), len(rows(server))
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{server.address}{API}/events", origin=given, additional_headers=headers).close()
    assert refused.value.response.status_code == 403
    assert b"origin_not_allowed" in (refused.value.response.body or b"")
    assert rows(server)[counted:] == [("denied", "origin_not_allowed")]
    assert state_of(server) == before


@pytest.mark.case("WEB-002")
def test_a_page_of_another_site_in_the_same_browser_hears_nothing(foreign_page: Page, server: Server) -> None:
    counted = len(rows(server))
    assert foreign_page.evaluate(SOCKET, f"ws://{server.address}{API}/events") == "refused"
    assert ("denied", "origin_not_allowed") in rows(server)[counted:]


@pytest.mark.case("WEB-002")
def test_a_page_of_ours_hears_what_happens(page: Page, server: Server) -> None:
    assert opened(page, "/networks").evaluate(SOCKET, f"ws://{server.address}{API}/events") == "open"


@pytest.mark.case("WEB-004")
def test_cookies_are_locked_pages_are_not_framed_and_nothing_with_data_is_kept(
    signed_in: BrowserContext, foreign_page: Page, page: Page, server: Server
) -> None:
    kept = {each["name"]: each for each in signed_in.cookies(server.url)}
    assert set(kept) == {SESSION, CSRF}
    for name, each in kept.items():
        assert (each["secure"], each["sameSite"], each["path"]) == (True, "Strict", "/")
        assert each["httpOnly"] is (name == SESSION)
    answers: dict[str, str] = {}
    page.on("response", lambda each: answers.update({each.url: each.headers.get("cache-control", "")}))
    opened(page, "/networks")
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert not any(value in stored for each in kept.values() if (value := str(each["value"])))
    assert answers[f"{server.url}/networks"] == "no-store"
    data = {url: said for url, said in answers.items() if API in url}
    assert data
    assert set(data.values()) == {"no-store"}

    said = foreign_page.evaluate(
        """async url => {
            const frame = document.createElement('iframe')
            frame.src = url
            await new Promise(done => { frame.onload = done; document.body.append(frame) })
            return frame.contentDocument === null
        }""",
        server.url,
    )
    assert said is True
    framed = foreign_page.frames[-1]
    assert framed.locator("body").inner_text().find("Sign in") == -1
    expect(framed.get_by_role("navigation")).to_have_count(0)
