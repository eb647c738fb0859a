"""Metrics as Prometheus reads them: one table of all there are, and the text that is made of it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from isthmus import __version__
from isthmus.server.application.figures import Figures, FigureService
from isthmus.server.application.tally import Counts, Tally

KEPT_SECONDS = 5.0
"""For so long a text is given to everybody who asks, so that nobody can make the server count all the time."""

Label = TypeVar("Label", bound=str)
Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Source:
    """What one text is made of."""

    figures: Figures
    counts: Counts


@dataclass(frozen=True, slots=True)
class Series:
    """A metric: its name, what it says, its labels, and where its numbers come from. Counters end in `_total`."""

    name: str
    says: str
    labels: tuple[str, ...]
    samples: Callable[[Source], Iterable[Sample]]

    @property
    def type(self) -> str:
        return "counter" if self.name.endswith("_total") else "gauge"


def _capacities(part: str) -> Callable[[Source], Iterator[Sample]]:
    def samples(source: Source) -> Iterator[Sample]:
        for network, capacities in source.figures.networks:
            for each in capacities:
                labels = (str(network.id), network.name, f"v{each.cidr.version}")
                yield labels, float(getattr(each, part))

    return samples


def _spelt(counts: Mapping[tuple[str, bool], int], yes: str, no: str) -> Iterator[Sample]:
    for (name, flag), count in counts.items():
        yield (name, yes if flag else no), count


def _single(number: float) -> list[Sample]:
    return [((), number)]


def _by_one(counts: Mapping[Label, int]) -> Iterator[Sample]:
    return (((name,), count) for name, count in counts.items())


ADDRESS_LABELS = ("network", "network_name", "family")
SERIES = (
    Series("isthmus_info", "1, with the version", ("version",), lambda _: [((__version__,), 1)]),
    Series(
        "isthmus_http_requests_total",
        "requests that the server has answered",
        ("method", "route", "status"),
        lambda source: source.counts.requests.items(),
    ),
    Series(
        "isthmus_denials_total",
        "requests that the server has denied",
        ("caller", "reason"),
        lambda source: source.counts.denials.items(),
    ),
    Series(
        "isthmus_federation_calls_total",
        "calls of remotes that were admitted",
        ("remote", "component", "outcome"),
        lambda source: source.counts.federation_calls.items(),
    ),
    Series(
        "isthmus_federation_denials_total",
        "calls that the ingress or the Federator has denied",
        ("remote", "reason"),
        lambda source: source.counts.federation_denials.items(),
    ),
    Series("isthmus_agents", "peers with an agent", ("state",), lambda source: _by_one(source.figures.agents)),
    Series("isthmus_peers", "peers of all networks", ("kind",), lambda source: _by_one(source.figures.peers)),
    Series("isthmus_addresses_usable", "addresses that hosts can have", ADDRESS_LABELS, _capacities("total")),
    Series("isthmus_addresses_used", "addresses that peers have", ADDRESS_LABELS, _capacities("used")),
    Series("isthmus_addresses_reserved", "addresses that are reserved", ADDRESS_LABELS, _capacities("reserved")),
    Series("isthmus_addresses_held", "addresses that rest", ADDRESS_LABELS, _capacities("held")),
    Series("isthmus_incidents_open", "open incidents", ("type",), lambda source: _by_one(source.figures.incidents)),
    Series(
        "isthmus_bridges",
        "bridges that are not revoked",
        ("state", "effective"),
        lambda source: _spelt(source.figures.bridges, "yes", "no"),
    ),
    Series("isthmus_grants_active", "grants in force", (), lambda source: _single(source.figures.grants)),
    Series("isthmus_grants_held_active", "grants held", (), lambda source: _single(source.figures.held_grants)),
    Series("isthmus_findings_open", "open findings", ("kind",), lambda source: _by_one(source.figures.findings)),
    Series(
        "isthmus_outbox_messages",
        "messages to remotes that wait",
        ("remote", "state"),
        lambda source: _spelt(source.figures.outbox, "refused", "waiting"),
    ),
    Series("isthmus_audit_rows_total", "audit rows written", (), lambda source: _single(source.figures.audit_rows)),
    Series(
        "isthmus_certificate_ends_timestamp_seconds",
        "when the first certificate in use ends",
        ("kind", "purpose"),
        lambda source: ((labels, at.timestamp()) for labels, at in source.figures.certificates.items()),
    ),
)


class _Collected(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        for series in SERIES:
            family = CounterMetricFamily if series.type == "counter" else GaugeMetricFamily
            made = family(series.name, series.says, labels=series.labels)
            for labels, number in series.samples(self._source):
                made.add_metric(labels, number)
            yield made


def rendered(source: Source) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(source))
    return generate_latest(registry)


class Exposition:
    """The text, made in a thread and kept for a few seconds."""

    def __init__(self, figures: FigureService, tally: Tally) -> None:
        self._figures = figures
        self._tally = tally
        self._making = asyncio.Lock()
        self._text = b""
        self._made_at = float("-inf")

    async def text(self) -> bytes:
        """Raises `StoreUnavailable`."""
        async with self._making:
            if time.monotonic() - self._made_at >= KEPT_SECONDS:
                source = Source(await self._figures.read(), self._tally.counts())
                self._text = await asyncio.to_thread(rendered, source)
                self._made_at = time.monotonic()
        return self._text
