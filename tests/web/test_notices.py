"""Notices that come, come twice or are lost on the way: what a page shows is the present state of the server."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
import pytest
from playwright.sync_api import Page, Request, WebSocketRoute, expect

from tests.api.agent import a_network, a_peer
from tests.web.looking import opened

ON_SCREEN = 1_000  # milliseconds


@dataclass
class Wire:
    """What stands between a page and the stream of notices."""

    passes: Callable[[str], list[str]] = lambda said: [said]
    heard: Counter[str] = field(default_factory=Counter)

    def stand_in(self, page: Page) -> None:
        page.route_web_socket(re.compile("/api/v1/events"), self._relay)

    def _relay(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda said: self._pass(socket, str(said)))

    def _pass(self, socket: WebSocketRoute, said: str) -> None:
        self.heard[json.loads(said).get("event", "hello")] += 1
        for each in self.passes(said):
            socket.send(each)


@pytest.mark.case("SEED-074")
def test_a_page_refreshes_the_object_once_more_after_a_duplicate_and_makes_up_for_what_was_lost(
    page: Page, admin: httpx2.Client
) -> None:
    wire, network = Wire(), a_network(admin)
    shown, other = (a_peer(admin, network)["peer"] for _ in range(2))
    readings: list[str] = []
    wire.stand_in(page)
    opened(page, f"/peers/{shown['id']}")

    def owned_by(peer: dict[str, str], owner: str) -> None:
        admin.patch(f"/peers/{peer['id']}", json={"owner": owner}).raise_for_status()

    def note(request: Request) -> None:
        if request.url.endswith(f"/peers/{shown['id']}"):
            readings.append(request.url)

    page.on("request", note)
    # A change arrives, and the page reads the object, which the notice itself does not hold.
    owned_by(shown, "Ada")
    expect(page.get_by_text("Ada", exact=True)).to_be_visible(timeout=ON_SCREEN)
    assert readings
    # It arrives twice: what is read is the state of the server, so nothing is applied a second time.
    wire.passes = lambda said: [said, said]
    owned_by(shown, "Grace")
    expect(page.get_by_text("Grace", exact=True)).to_be_visible(timeout=ON_SCREEN)
    expect(page.get_by_text("Ada", exact=True)).to_have_count(0)
    # One is lost, and the page cannot know of it.
    wire.passes = lambda said: []
    before = wire.heard["peer.changed"]
    owned_by(shown, "Edith")
    page.wait_for_timeout(300)
    assert wire.heard["peer.changed"] == before + 1
    expect(page.get_by_text("Grace", exact=True)).to_be_visible()
    # The next one, about another peer of the network, leaves a gap: all that it may have made old is read again.
    wire.passes = lambda said: [said]
    owned_by(other, "Hedy")
    expect(page.get_by_text("Edith", exact=True)).to_be_visible(timeout=ON_SCREEN)
