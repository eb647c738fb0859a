"""How full a network is: the UI, the API and the metrics say the same, up to the last address and beyond."""

from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.api.agent import a_name, a_network, a_peer
from tests.metrics import fresh_metrics_of
from tests.web.looking import opened

USABLE = {f"10.99.0.{host}" for host in range(1, 7)}


def said(admin: httpx2.Client, network: Any) -> dict[str, tuple[float, float]]:
    """How many IPv4 addresses of the network hosts can have, and peers do have, by who says so."""
    parts = admin.get(f"/networks/{network['id']}/capacity").raise_for_status().json()["v4"]
    whole = admin.get(f"/networks/{network['id']}").raise_for_status().json()["capacity"]["v4"]
    labels = {"network": network["id"], "network_name": network["name"], "family": "v4"}
    metrics = fresh_metrics_of(admin)
    return {
        "capacity": (parts["total"], parts["used"]),
        "network": (whole["total"], whole["used"]),
        "metrics": tuple(metrics.value(f"isthmus_addresses_{part}", **labels) for part in ("usable", "used")),
    }


def everything(admin: httpx2.Client, network: Any) -> list[Any]:
    calls = (
        f"/networks/{network['id']}",
        f"/peers?network={network['id']}",
        f"/networks/{network['id']}/reservations",
    )
    return [admin.get(path).raise_for_status().json() for path in calls]


@pytest.mark.case("SEED-060")
def test_capacity_is_the_same_in_the_ui_the_api_and_the_metrics(page: Page, admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.99.0.0/29")
    taken = [a_peer(admin, network)["peer"] for _ in range(4)]
    opened(page, f"/networks/{network['id']}")
    expect(page.get_by_text("4 of 6", exact=True)).to_be_visible()
    assert set(said(admin, network).values()) == {(6, 4)}
    # The second of them gets the last address that there is.
    taken += [a_peer(admin, network)["peer"] for _ in range(2)]
    assert {address for peer in taken for address in peer["addresses"] if "." in address} == USABLE
    expect(page.get_by_text("6 of 6", exact=True)).to_be_visible()
    expect(page.get_by_text("0 free", exact=True)).to_be_visible()

    before, newest = everything(admin, network), admin.get("/audit", params={"limit": 1}).json()["items"][0]["number"]
    answer = admin.post(f"/networks/{network['id']}/peers", json={"name": a_name()})
    assert (answer.status_code, answer.json()["code"]) == (409, "network_exhausted")
    assert "the network is full" in answer.json()["hint"]
    rows = [row for row in admin.get("/audit", params={"limit": 20}).json()["items"] if row["number"] > newest]
    assert [(row["outcome"], row["reason"]) for row in rows] == [("denied", "network_exhausted")]
    assert rows[0]["request_id"] == answer.json()["request_id"]
    assert everything(admin, network) == before
    assert set(said(admin, network).values()) == {(6, 6)}
    expect(page.get_by_text("6 of 6", exact=True)).to_be_visible()
