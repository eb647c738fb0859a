"""Traefik and Kubernetes: rendered from the same facts, and linted as strictly as nginx."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.ingress import kubernetes, process, rendering, traefik
from isthmus.ingress.layout import Layout
from isthmus.ingress.refused import FactsRefused
from isthmus.ingress.weakenings import document_weakenings, weakenings
from isthmus.protocol.ingress import IngressFacts, Kind, Listener
from isthmus.protocol.places import Places
from tests.ingress.authority import Ca
from tests.ingress.conftest import OVERLAY, secret
from tests.ingress.test_lint import LAYOUT

SNIPPETS = ("http-snippet", "nginx.ingress.kubernetes.io/server-snippet")


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> IngressFacts:
    ca = Ca(tmp_path_factory.mktemp("ca"), "a")
    return IngressFacts(3, ["infra.b.example"], [Listener("wan", "127.0.0.1", 8443)], [ca.pem])


def with_overlay(facts: IngressFacts) -> IngressFacts:
    return msgspec.structs.replace(
        facts, listeners=[*facts.listeners, Listener("office", "fd00::1", 8443, OVERLAY)], networks={OVERLAY: "office"}
    )


@pytest.mark.case("SEED-008")
def test_what_is_rendered_passes_its_lint_and_nginx_takes_its_own(facts: IngressFacts, tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.run.mkdir()
    (places.ingress_config / "temp").mkdir(parents=True)
    files = rendering.render("nginx", facts, Layout.of(places, secret))
    assert rendering.lint("nginx", files) == []
    rendering.write(files, tmp_path / "config")
    process.check(tmp_path / "config")
    assert rendering.lint("traefik", rendering.render("traefik", with_overlay(facts), LAYOUT)) == []
    assert rendering.lint("kubernetes", rendering.render("kubernetes", facts, LAYOUT)) == []


def test_each_overlay_has_an_entry_point_with_its_router_pinned_to_it(facts: IngressFacts) -> None:
    files = traefik.render(with_overlay(facts), LAYOUT)
    static, dynamic = json.loads(files[traefik.STATIC]), json.loads(files[traefik.DYNAMIC])
    assert {name: each["address"] for name, each in static["entryPoints"].items()} == {
        "wan": "127.0.0.1:8443",
        "office": "[fd00::1]:8443",
    }
    assert {name: each["entryPoints"] for name, each in dynamic["http"]["routers"].items()} == {
        "wan": ["wan"],
        "office": ["office"],
    }
    for name, network in (("wan", "wan"), ("office", OVERLAY)):
        set_here = dynamic["http"]["middlewares"][f"facts-{name}"]["headers"]["customRequestHeaders"]
        assert set_here["X-Sdwan-Network"] == network


def test_a_cluster_has_no_overlay(facts: IngressFacts) -> None:
    with pytest.raises(FactsRefused, match="one listener, on the WAN"):
        kubernetes.render(with_overlay(facts), LAYOUT)


def traefik_weakenings(files: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name in (traefik.STATIC, traefik.DYNAMIC):
        for what, changed in document_weakenings(json.loads(files[name])):
            weaker = {**files, name: json.dumps(changed)}
            yield f"{name}: {what}", {**weaker, traefik.DIGEST: traefik.digest_of(weaker)}


def kubernetes_weakenings(files: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    document = json.loads(files[kubernetes.MANIFEST])
    changes = [*document_weakenings(document), *snippet_weakenings(document)]
    for what, changed in changes:
        manifest = json.dumps(changed)
        yield what, {kubernetes.MANIFEST: manifest, kubernetes.DIGEST: kubernetes.digest_of(manifest)}


def snippet_weakenings(document: Any) -> Iterator[tuple[str, Any]]:
    for name in SNIPPETS:
        for what, text in weakenings(holder_of(document, name)[name]):
            changed = json.loads(json.dumps(document))
            holder_of(changed, name)[name] = text
            yield f"{name}: {what}", changed


def holder_of(document: Any, snippet: str) -> Any:
    controller, _, ingress = document["items"]
    return controller["data"] if snippet == SNIPPETS[0] else ingress["metadata"]["annotations"]


def test_nginx_takes_the_snippets_of_the_cluster(facts: IngressFacts, tmp_path: Path) -> None:
    """In the places where the controller puts them; what it resolves by the cluster's DNS is an address here."""
    document = json.loads(kubernetes.render(facts, LAYOUT)[kubernetes.MANIFEST])
    http, server = (holder_of(document, name)[name] for name in SNIPPETS)
    server = server.replace(kubernetes.UPSTREAM, "127.0.0.1:7790")
    path = tmp_path / "nginx.conf"
    logs = f"pid {tmp_path}/pid; error_log stderr;"
    path.write_text(f"{logs} events {{}} http {{ {http} server {{ listen 127.0.0.1:18080; {server} }} }}")
    command = ["nginx", "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_weakening_of_traefik_fails(facts: IngressFacts) -> None:
    tried = list(traefik_weakenings(traefik.render(facts, LAYOUT)))
    assert len(tried) > 100
    # A rendering that watches no file would only be stale; all else must be noticed.
    assert [what for what, files in tried if not rendering.lint("traefik", files)] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
        ("VersionTLS13", "VersionTLS12"),
        ('"http/1.1"', '"h2"'),
        ("Method(`POST`)", "PathPrefix(`/`)"),
        ('"strip", "connections"', '"connections"'),
        ('"X-Sdwan-Network": "wan"', '"X-Sdwan-Network": "wan", "X-Calling-Instance": "x"'),
        ("http://127.0.0.1:7790", "http://127.0.0.1:7791"),
    ],
)
def test_turned_values_of_traefik_fail(facts: IngressFacts, before: str, after: str) -> None:
    files = traefik.render(facts, LAYOUT)
    compact = json.dumps(json.loads(files[traefik.DYNAMIC]))
    assert before in compact
    weaker = {**files, traefik.DYNAMIC: compact.replace(before, after)}
    assert rendering.lint("traefik", {**weaker, traefik.DIGEST: traefik.digest_of(weaker)})


@pytest.mark.case("SEED-008")
def test_every_weakening_of_the_clusters_objects_fails(facts: IngressFacts) -> None:
    tried = list(kubernetes_weakenings(kubernetes.render(facts, LAYOUT)))
    assert len(tried) > 200
    assert [what for what, files in tried if not rendering.lint("kubernetes", files)] == []


def test_a_change_by_hand_shows_in_the_digest(facts: IngressFacts, tmp_path: Path) -> None:
    tried: list[tuple[Kind, str]] = [("traefik", traefik.DYNAMIC), ("kubernetes", kubernetes.MANIFEST)]
    for kind, name in tried:
        files = rendering.RENDERERS[kind](facts, LAYOUT)
        assert any("changed by hand" in each for each in rendering.LINTERS[kind]({**files, name: files[name] + " "}))
