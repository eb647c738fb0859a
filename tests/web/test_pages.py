"""Every page: nothing is cut off at two widths, and axe finds nothing that keeps people out."""

from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page

from tests.api.agent import Agent, a_network, a_peer
from tests.api.test_incidents import beat, steal
from tests.server import Server
from tests.web.linked import Linked
from tests.web.looking import DESKTOP, PHONE, grave_findings, opened, overflow, shoot


@pytest.fixture(scope="module")
def places(server: Server, admin: httpx2.Client) -> dict[str, str]:
    """The path of each page, with something on it to be seen."""
    network = a_network(admin, cidr_v4="10.77.0.0/24")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    host = Agent.enrolled(server, a_peer(admin, network))
    a_peer(admin, network, kind="static")
    a_peer(admin, network)
    assert beat(gw, "own").status_code == 200
    incident = steal(host)
    body = {"address": "10.77.0.200", "note": "the printer"}
    admin.post(f"/networks/{network['id']}/reservations", json=body).raise_for_status()
    return {
        "dashboard": "/",
        "networks": "/networks",
        "network": f"/networks/{network['id']}",
        "peers": "/peers",
        "peer": f"/peers/{host.peer_id}",
        "addresses": "/addresses",
        "topology": f"/topology?network={network['id']}",
        "topology-chosen": f"/topology?network={network['id']}&peer={gw.peer_id}",
        "topology-table": f"/topology?network={network['id']}&show=table",
        "incidents": "/incidents",
        "incident": f"/incidents/{incident}",
        "not-found": "/no-such-page",
    }


MAPS = ("topology", "topology-chosen", "topology-table")
NAMES = ("dashboard", "networks", "network", "peers", "peer", "addresses", *MAPS, "incidents", "incident", "not-found")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_at_both_widths_and_open_to_everybody(
    page: Page, places: dict[str, str], screenshots: Path | None, name: str
) -> None:
    look_at(page, places[name], screenshots, name)


def look_at(page: Page, path: str, screenshots: Path | None, name: str) -> None:
    for width, size in (("1280", DESKTOP), ("390", PHONE)):
        page.set_viewport_size(size)
        opened(page, path)
        shoot(page, screenshots, f"{name}-{width}")
        assert overflow(page) <= 0
        assert grave_findings(page) == []


@pytest.fixture(scope="module")
def trust_places(linked: Linked) -> dict[str, str]:
    """The same for the pages of federation."""
    return {
        "backend": "/backend",
        "remotes": "/remotes",
        "remote": "/remotes/b.example",
        "pending-remote": "/remotes/c.example",
        "bridges": "/bridges",
        "bridge": f"/bridges/{linked.active}",
        "proposed-bridge": f"/bridges/{linked.proposed}",
        "services": "/services",
        "grants": "/grants",
        "grant": f"/grants/{linked.grant}",
        "instances": "/instances",
        "findings": "/findings",
        "people": "/people",
        "audit": "/audit",
        "tokens": "/tokens",
        "settings": "/settings",
    }


TRUST_NAMES = (
    "backend",
    "remotes",
    "remote",
    "pending-remote",
    "bridges",
    "bridge",
    "proposed-bridge",
    "services",
    "grants",
    "grant",
    "instances",
    "findings",
    "people",
    "audit",
    "tokens",
    "settings",
)


@pytest.mark.parametrize("name", TRUST_NAMES)
def test_a_page_of_federation_is_whole_at_both_widths_and_open_to_everybody(
    linked_page: Page, trust_places: dict[str, str], screenshots: Path | None, name: str
) -> None:
    look_at(linked_page, trust_places[name], screenshots, name)
    # Of what others have written nothing has run.
    assert linked_page.evaluate("window.ran") is None
