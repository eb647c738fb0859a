"""What a backend exposes to Prometheus, read with the library that writes it."""

import time

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from isthmus.server.adapters.exposition import KEPT_SECONDS

Labels = dict[str, str]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Metrics:
    """One reading, by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: Samples = {}
        self.types: dict[str, str] = {}
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            self.types[name] = family.type
            for sample in family.samples:
                self.samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """0 where there is no such series (yet)."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def labelled(self, name: str) -> list[Labels]:
        """The labels of all series of that name."""
        return [dict(labels) for found, labels in self.samples if found == name]


def metrics_of(client: httpx2.Client) -> Metrics:
    """What is exposed at this moment, at most `KEPT_SECONDS` old."""
    return Metrics(client.get(client.base_url.join("/metrics")).raise_for_status().text)


def fresh_metrics_of(client: httpx2.Client) -> Metrics:
    """What was made after this call began."""
    began = time.monotonic()
    while time.monotonic() - began <= KEPT_SECONDS:
        time.sleep(0.25)
    return metrics_of(client)
