"""One real server for all tests of a worker, one Chromium for each file, and pages of somebody who is signed in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.server import Server, running
from tests.web.linked import Linked, link
from tests.web.looking import DESKTOP, PATIENCE, sign_in

CHROMIUM = shutil.which("chromium")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="keep a picture of each page of the UI there")


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest) -> Path | None:
    """Where pictures go; none are made without the option."""
    given = request.config.getoption("--screenshots", default=None)
    if given is None:
        return None
    folder = Path(str(given))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    """Another server, which has a remote, bridges and grants."""
    made = link(tmp_path_factory.mktemp("linked"))
    yield made
    made.server.stop()


@pytest.fixture(scope="session")
def admin(server: Server) -> Iterator[httpx2.Client]:
    """Calls with all scopes, as the CLI makes them."""
    with server.client(server.token("read", "write", "admin")) as client:
        yield client


# Playwright runs an event loop for as long as it is there, and in that time the process can have no other: the tests
# that a worker runs afterwards would have none.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium. Its own sandbox needs what containers do not give, and its own care of what pages may ask of
    this machine would hide that the server takes care by itself."""
    options = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"]
    started = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
    yield started
    started.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    with of_administrator(browser, server) as context:
        yield context


@pytest.fixture(scope="module")
def signed_in_to_linked(browser: Browser, linked: Linked) -> Iterator[BrowserContext]:
    with of_administrator(browser, linked.server) as context:
        yield context


@contextmanager
def of_administrator(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    """The browser of an administrator, who has signed in on the page for that."""
    context = browser.new_context(viewport=DESKTOP, base_url=server.url)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    sign_in(page, server.password)
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    with watched(signed_in) as opened:
        yield opened


@pytest.fixture
def linked_page(signed_in_to_linked: BrowserContext) -> Iterator[Page]:
    """The same on the server that has remotes."""
    with watched(signed_in_to_linked) as opened:
        yield opened


@contextmanager
def watched(context: BrowserContext) -> Iterator[Page]:
    """A tab of its own; a script that fails in it, or that the policy refuses, fails the test."""
    opened = context.new_page()
    broken: list[str] = []
    opened.on("pageerror", lambda error: broken.append(str(error)))
    opened.on("console", lambda said: broken.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    opened.close()
    assert broken == []
