"""The dashboards that are shipped, against what a backend exposes that has agents, remotes and certificates."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from isthmus.server.adapters.exposition import SERIES
from tests.federation.federation import Federation
from tests.metrics import Metrics, fresh_metrics_of

DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy/grafana").glob("*.json"))
SELECTOR = re.compile(r"\b(isthmus_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
SHOWN = re.compile(r"\{\{(\w+)\}\}")
FIGURES = {
    "isthmus_http_requests_total",
    "isthmus_denials_total",
    "isthmus_agents",
    "isthmus_incidents_open",
    "isthmus_bridges",
    "isthmus_certificate_ends_timestamp_seconds",
}


def queries() -> Iterator[tuple[str, str]]:
    """Each query with the text that Grafana makes of its labels."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield target["expr"], target["legendFormat"]


def matching(found: Metrics, name: str, matchers: str) -> list[dict[str, str]]:
    """The series of that name whose labels are as the matchers want them."""
    wanted = MATCHER.findall(matchers or "")
    assert MATCHER.sub("", matchers or "").strip(", ") == "", matchers
    return [
        labels
        for labels in found.labelled(name)
        if all(is_met(how, labels.get(label, ""), value) for label, how, value in wanted)
    ]


def is_met(how: str, text: str, value: str) -> bool:
    is_it = re.fullmatch(value, text) is not None if "~" in how else text == value
    return is_it != ("!" in how)


@pytest.mark.case("SEED-109")
def test_every_query_of_a_dashboard_names_series_that_are_there(federation: Federation) -> None:
    a, b, c = federation.parties
    assert c.asks(b).status == 200
    assert a.asks(b, a.request(b, "POST /federation/directory/no-such")).status == 404
    assert b.api.post(f"/incidents/{uuid4()}/resolve", json={"reason": "none such"}).status_code == 404
    network = b.api.post("/networks", json={"name": "dashboards", "cidr_v4": "10.77.0.0/24"}).raise_for_status().json()
    found = fresh_metrics_of(b.api)
    b.api.delete(f"/networks/{network['id']}").raise_for_status()
    labels_of = {series.name: set(series.labels) for series in SERIES}
    asked = set()
    for expression, legend in queries():
        selectors = SELECTOR.findall(expression)
        assert selectors, expression
        named = {each.strip() for group in GROUPED.findall(expression) for each in group.split(",")}
        for name, matchers in selectors:
            asked.add(name)
            assert matching(found, name, matchers), (name, matchers)
            used = named | set(SHOWN.findall(legend)) | {label for label, _, _ in MATCHER.findall(matchers)}
            assert used <= labels_of[name], (expression, legend)
    assert asked >= FIGURES
    assert (
        found.value("isthmus_federation_calls_total", remote=c.domain, component="directory", outcome="answered") >= 1
    )
