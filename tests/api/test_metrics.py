"""Metrics over a socket: what is exposed and documented, and that strangers do not make it more."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from isthmus.server.adapters.exposition import SERIES
from isthmus.server.application.denials import STRANGERS_PER_WINDOW
from tests.api.agent import Agent, a_network, a_peer, heartbeat
from tests.metrics import fresh_metrics_of, metrics_of
from tests.server import Server, running

PAGE = Path(__file__).parents[2] / "docs/operations/metrics.md"
# At most one window ends meanwhile.
MADE_UP = 2 * STRANGERS_PER_WINDOW + 400
LIMIT = 1_000


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of which these tests know all that happened."""
    with running(tmp_path_factory.mktemp("watched")) as server:
        yield server


@pytest.fixture(scope="module")
def reader(watched: Server) -> Iterator[httpx2.Client]:
    """Who may read metrics and nothing else."""
    with watched.client(watched.token("metrics")) as client:
        yield client


@pytest.fixture(scope="module")
def owner(watched: Server) -> Iterator[httpx2.Client]:
    with watched.client(watched.token("read", "write", "admin")) as client:
        yield client


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels of each metric, as the page for operators says."""
    lines = PAGE.read_text("utf-8").partition("## What is exposed")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): (row[1], tuple(part.strip("`") for part in row[2].split(", ") if part)) for row in rows}


def test_what_is_exposed_is_what_the_page_for_operators_says(reader: httpx2.Client, owner: httpx2.Client) -> None:
    a_peer(owner, a_network(owner))
    assert owner.get("/networks", params={"no_such": "1"}).status_code == 422
    assert owner.post(f"/incidents/{uuid4()}/resolve").status_code in (404, 422)
    found = fresh_metrics_of(reader)
    # It is kept for a few seconds, so that asking again costs nothing.
    assert [metrics_of(reader).text for _ in range(5)] == [found.text] * 5
    page = documented()
    assert found.types == {name: kind for name, (kind, _) in page.items()}
    assert {series.name: (series.type, series.labels) for series in SERIES} == page
    seen = {name: {tuple(sorted(labels)) for labels in found.labelled(name)} for name in page}
    assert {name: labels for name, labels in seen.items() if labels} == {
        name: {tuple(sorted(labels))} for name, (_, labels) in page.items() if seen[name]
    }


def test_who_may_read_metrics_alone_reads_nothing_else(reader: httpx2.Client) -> None:
    answer = reader.get(reader.base_url.join("/metrics"))
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert answer.headers["cache-control"] == "no-store"
    assert reader.get("/networks").status_code == 403


def test_figures_are_those_of_the_api(watched: Server, reader: httpx2.Client, owner: httpx2.Client) -> None:
    network = a_network(owner, cidr_v4="10.66.0.0/24")
    a_peer(owner, network, kind="jump")
    a_peer(owner, network, kind="static", public_key=None)
    there, silent = (Agent.enrolled(watched, a_peer(owner, network)) for _ in range(2))
    with there.client() as client:
        client.post("/agent/heartbeat", json=heartbeat("first")).raise_for_status()
    for address in ("10.66.0.50", "10.66.0.51"):
        owner.post(f"/networks/{network['id']}/reservations", json={"address": address}).raise_for_status()
    found = fresh_metrics_of(reader)
    peers = owner.get("/peers", params={"limit": LIMIT}).json()["items"]
    for kind in ("jump", "dynamic", "static"):
        assert found.value("isthmus_peers", kind=kind) == sum(peer["kind"] == kind for peer in peers)
    agents = [peer["status"]["state"] for peer in peers if peer["kind"] != "static"]
    assert {peer["id"]: peer["status"]["state"] for peer in peers}[there.peer_id] == "online"
    for state in ("online", "stale", "offline", "unknown"):
        assert found.value("isthmus_agents", state=state) == agents.count(state), state
    assert found.value("isthmus_agents", state="online") >= 1
    assert silent.peer_id in {peer["id"] for peer in peers}
    capacity = owner.get(f"/networks/{network['id']}/capacity").json()["v4"]
    assert (capacity["used"], capacity["reserved"]) == (4, 2)
    labels = {"network": network["id"], "network_name": network["name"], "family": "v4"}
    for name, part in (("usable", "total"), ("used", "used"), ("reserved", "reserved"), ("held", "held")):
        assert found.value(f"isthmus_addresses_{name}", **labels) == capacity[part]
    assert "machine" not in found.text
    for peer in peers:
        assert peer["id"] not in found.text
        assert peer["name"] not in found.text


@pytest.mark.case("DOS-003")
def test_made_up_paths_and_user_agents_make_no_series_and_few_rows(watched: Server, reader: httpx2.Client) -> None:
    door, methods = "/federation/made-up", ("GET", "POST", "PROPFIND")
    with watched.client() as stranger:
        for method in methods:
            stranger.request(method, stranger.base_url.join(door))
        stranger.get(f"/networks/{uuid4()}")
        before = fresh_metrics_of(reader)
        for number in range(MADE_UP):
            headers = {"User-Agent": f"agent-{number}", "Origin": f"https://x{number}.example"}
            if number % 2:
                headers["Authorization"] = f"Bearer isthmus-api-{uuid4().hex}"
                answer = stranger.get(f"/networks/{uuid4()}", headers=headers)
            else:
                path = stranger.base_url.join(f"{door}-{number}")
                answer = stranger.request(methods[number % 3], path, headers=headers)
            assert answer.status_code == (401 if number % 2 else 404)
    after = fresh_metrics_of(reader)
    assert after.samples.keys() == before.samples.keys()

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    asked = "isthmus_http_requests_total"
    assert grown(asked, method="GET", route="/api/v1/networks/{network_id}", status="401") == MADE_UP / 2
    assert [grown(asked, method=each, route="none", status="404") for each in ("GET", "POST", "other")] == [
        MADE_UP / 6
    ] * 3
    # Each is counted, and of those above the rate the log gets a sum.
    for reason in ("unauthenticated", "route_not_found"):
        assert grown("isthmus_denials_total", caller="anyone", reason=reason) == MADE_UP / 2
    assert grown("isthmus_audit_rows_total") <= 2 * (STRANGERS_PER_WINDOW + 1)
