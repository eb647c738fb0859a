"""What tests do in a page: sign in, open, look at it, and ask axe about it."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize, expect

# Generous: the machine that runs the tests has other work, and a test that fails has seen a state that never came.
PATIENCE = 30_000
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
GRAVE = {"serious", "critical"}

expect.set_options(timeout=PATIENCE)


def sign_in(page: Page, password: str, name: str = "admin") -> None:
    page.goto("/")
    page.get_by_label("User name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("navigation")).to_be_visible()


def opened(page: Page, path: str) -> Page:
    """`page` at `path`, with all that it loads on the screen and the stream of notices open."""
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_label("Loading")).to_have_count(0)
    if page.get_by_role("navigation").count():
        expect(page.get_by_role("banner").get_by_text("Live", exact=True)).to_be_visible()
    return page


def without_notices(page: Page) -> None:
    """Let `page` hear nothing of what changes, so that it reads again only where somebody asks for it."""
    page.route_web_socket(re.compile("/api/v1/events"), lambda _: None)


def grave_findings(page: Page) -> list[str]:
    """What axe finds that keeps people from using the page. It runs beside the page, whose policy stays as it is."""
    page.evaluate(AXE.read_text("utf-8"))
    found: Any = page.evaluate("async () => (await axe.run(document)).violations")
    return [
        f"{each['id']}: {'; '.join(node['html'][:160] + ' ' + node['failureSummary'] for node in each['nodes'][:3])}"
        for each in found
        if each["impact"] in GRAVE
    ]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def shoot(page: Page, folder: Path | None, name: str) -> None:
    if folder is not None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)
