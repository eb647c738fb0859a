"""Plants a weakness in one backend for the time of a block: in its Federator, or in the configuration of its nginx."""

import contextlib
import re
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from isthmus.ingress.applying import Applier
from isthmus.ingress.refused import IngressRefused
from lab.waiting import wait_until
from tests.federation.party import Party, over_socket
from tests.federation.wire import NoAnswer

SABOTAGE = Path(__file__).parent / "sabotage"
NAMED = "/run/isthmus-sabotage"
ENVIRONMENT = {"PYTHONPATH": str(SABOTAGE)}
"""For `isthmus up` of a backend that weaknesses can be planted in."""
WITHIN = 20.0

NGINX: Mapping[str, tuple[str, str]] = {
    "client-certificate-optional": (r"ssl_verify_client on;", "ssl_verify_client optional_no_ca;"),
    "session-tickets": (r"ssl_session_tickets off;", "ssl_session_tickets on;"),
    "all-headers-pass": (r"proxy_pass_request_headers off;", "proxy_pass_request_headers on;"),
    "any-request-line": (r"default other;", "default call;"),
}
"""Weaknesses of the ingress: a pattern of its configuration, and what stands there instead."""


@contextlib.contextmanager
def weak_federator(party: Party, *names: str) -> Iterator[None]:
    """While the block runs the Federator has these weaknesses; it is started again before and after."""
    file = party.site.host.path(NAMED)
    file.write_text("\n".join(names))
    try:
        restart_federator(party)
        yield
    finally:
        file.unlink()
        restart_federator(party)


@contextlib.contextmanager
def weak_server(party: Party, *names: str) -> Iterator[None]:
    """The same for its server, with all components."""
    file = party.site.host.path(NAMED)
    file.write_text("\n".join(names))
    try:
        restart_server(party)
        yield
    finally:
        file.unlink()
        restart_server(party)


def restart_server(party: Party) -> None:
    """End it, and wait until its successor answers and its components listen behind the boxes."""
    boxes = [box for name, box in party.recorders.items() if name.startswith("component-")]
    for box in boxes:
        box.remove()
        box.path.unlink(missing_ok=True)
    party.site.restart("server")
    wait_until(party.site.answers, within=WITHIN, what=f"an answer of the server of {party}")
    for box in boxes:
        box.place()


def restart_federator(party: Party) -> None:
    """End it, and wait until its successor listens behind the boxes and nginx tells it what it refuses."""
    boxes, before = [party.inward, party.outward], party.site.nginx_workers()
    for box in boxes:
        box.remove()
        box.path.unlink(missing_ok=True)
    party.site.restart("federator")
    for box in boxes:
        box.place()
    wait_until(partial(has_snapshot, party), within=WITHIN, what=f"a snapshot at the Federator of {party}")
    # Until it has noticed the other socket for its refusals, it sends them nowhere. One that was started a moment ago
    # has not seen the former, and is not reloaded.
    with contextlib.suppress(TimeoutError):
        wait_until(partial(has_changed, party, before), within=WITHIN, what=f"new workers at {party}")


def has_snapshot(party: Party) -> bool:
    """Whether the Federator knows by what to decide."""
    try:
        health = over_socket(party.outward.path, b"GET /health/ready HTTP/1.1\r\nHost: federator\r\n\r\n")
    except NoAnswer:
        # Its socket is there a moment before it listens.
        return False
    return bool(health.json["parts"]["snapshot"] == "")


@contextlib.contextmanager
def weak_ingress(party: Party, *names: str) -> Iterator[None]:
    """While the block runs nginx has these weaknesses, by a reload of an edited configuration."""
    with unattended_nginx(party):
        config = party.site.places.ingress_config / "current" / "nginx.conf"
        right = config.read_text()
        wrong = right
        for name in names:
            pattern, weak = NGINX[name]
            wrong, found = re.subn(pattern, weak, wrong)
            assert found, f"the configuration of nginx has no {pattern!r}"
        try:
            _reload(party, config, wrong)
            yield
        finally:
            _reload(party, config, right)


@contextlib.contextmanager
def unattended_nginx(party: Party) -> Iterator[None]:
    """While the block runs `isthmus ingress run` does nothing: it would notice a drift, tell it, and put it right."""
    versions = Applier(party.site.places).versions

    def rests() -> bool:
        party.site.stop_for_now("ingress")
        try:
            # Not in the middle of applying something, of which nginx would have a part.
            with versions.locked():
                return True
        except IngressRefused:
            party.site.kill("ingress", signal.SIGCONT)
            return False

    wait_until(rests, within=WITHIN, what=f"the ingress of {party} to rest")
    try:
        yield
    finally:
        party.site.kill("ingress", signal.SIGCONT)


def _reload(party: Party, config: Path, text: str) -> None:
    config.write_text(text)
    before = party.site.nginx_workers()
    party.site.signal_nginx(signal.SIGHUP)
    wait_until(partial(has_changed, party, before), within=WITHIN, what="new workers of nginx")


def has_changed(party: Party, before: set[int]) -> bool:
    """Whether other workers than before take connections, and they alone."""
    workers = party.site.nginx_workers()
    return bool(workers) and not workers & before
