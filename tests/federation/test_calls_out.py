"""Calls to remotes that are dead, slow, false, older or newer: each ends in its own code, and in time."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from isthmus.domain.federation.backoff import FAILURES
from isthmus.protocol.federation import API_VERSION
from lab.host import Host
from lab.waiting import wait_until
from tests.federation.checks import refused, refusing
from tests.federation.loner import Loner
from tests.federation.planting import weak_federator
from tests.federation.stand import a_problem, an_answer, in_json
from tests.x509.forge import CLIENT, an_authority

BUDGET = 10.0
# Of the processes before and after the Federator on a machine that does other things as well.
SLACK = 3.0
NOTICE = "/federation/handshake/notice"
WITHIN = 30.0
LONG = 4
"""Seconds that are longer than a call takes."""
MOST_TRIES = 8
TABLE = "isthmus_dropping"


@contextmanager
def dropping(host: Host, port: int) -> Iterator[None]:
    """No packet to this port arrives."""
    rule = f"tcp dport {port} drop"
    rules = f"table inet {TABLE} {{ chain in {{ type filter hook input priority 0; {rule}\n}}\n}}\n"
    host.run(["nft", "-f", "-"], input=rules)
    try:
        yield
    finally:
        host.run(["nft", "delete", "table", "inet", TABLE])


@contextmanager
def silent(host: Host, port: int) -> Iterator[None]:
    """Connections are taken, and nothing is ever said."""
    with host.open_socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(host.ipv4), port))
        listener.listen(8)
        yield


@contextmanager
def garbling(host: Host, port: int) -> Iterator[None]:
    """Whatever comes, something is said that is no TLS."""
    with host.open_socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(host.ipv4), port))
        listener.listen(8)
        threading.Thread(target=garble, args=(listener,), daemon=True).start()
        yield
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def garble(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n")


@pytest.mark.case("OUT-003")
def test_a_remote_that_refuses_hangs_or_garbles_ends_in_its_own_code(loner: Loner) -> None:
    wanted = {
        "refuses.example": (502, "remote_refused", "connect.refused"),
        "drops.example": (504, "remote_timeout", "connection.timeout"),
        "silent.example": (504, "remote_timeout", "connection.timeout"),
        "no-tls.example": (502, "remote_tls_failed", "tls.handshake"),
        "html.example": (502, "remote_protocol_error", "answer.media_type"),
        "cut.example": (502, "remote_protocol_error", "answer.garbled"),
    }
    ports = {domain: loner.port() for domain in wanted}
    for domain, port in ports.items():
        loner.publish(domain, port)
    loner.list(*wanted)
    html, cut = an_answer(b"<html>It works!</html>", kind="text/html"), an_answer(b'{"handle":', length=200)
    with (
        dropping(loner.host, ports["drops.example"]),
        silent(loner.host, ports["silent.example"]),
        garbling(loner.host, ports["no-tls.example"]),
        loner.stand("html.example", ports["html.example"], lambda seen: html),
        loner.stand("cut.example", ports["cut.example"], lambda seen: cut, hangs_up=True),
    ):
        took = loner.refuses(wanted).took
    assert max(took.values()) < BUDGET + SLACK, took
    assert min(took["drops.example"], took["silent.example"]) > BUDGET - SLACK


@pytest.mark.case("SEED-010", "OUT-004")
def test_not_a_byte_goes_to_a_server_that_is_not_the_one_that_was_meant(loner: Loner) -> None:
    now = datetime.now(UTC)
    public = an_authority("a public CA", starts=now - timedelta(days=1), ends=now + timedelta(days=300))
    wanted = {
        "other-name.example": (502, "remote_identity_mismatch", "identity.name"),
        "other-remote.example": (502, "remote_identity_mismatch", "identity.trust_domain"),
        "expired.example": (502, "remote_tls_failed", "tls.certificate"),
        "client-only.example": (502, "remote_tls_failed", "tls.certificate"),
        "public-ca.example": (502, "remote_tls_failed", "tls.certificate"),
    }
    right = "right.example"
    stands = {domain: loner.stand(domain, loner.port()) for domain in (*wanted, right)}
    leaf = {domain: partial(loner.leaf, f"infra.{domain}", domain) for domain in stands}
    stands["other-name.example"].leaf = loner.leaf("elsewhere.example", "other-name.example")
    stands["other-remote.example"].leaf = leaf[right]()
    stands["expired.example"].leaf = leaf["expired.example"](
        starts=now - timedelta(days=2), ends=now - timedelta(days=1)
    )
    stands["client-only.example"].leaf = leaf["client-only.example"](usages=(CLIENT,))
    stands["public-ca.example"].leaf = leaf["public-ca.example"](issuer=public)
    for domain, stand in stands.items():
        loner.publish(domain, stand.port)
    loner.list(*stands)
    with ExitStack() as stack:
        for stand in stands.values():
            stack.enter_context(stand)
        loner.refuses(wanted)
        assert loner.party.calls(right).status == 200
    assert all(stands[domain].connections > 0 for domain in wanted)
    assert {domain: stands[domain].received for domain in wanted} == dict.fromkeys(wanted, 0)
    assert stands[right].received > 0


@pytest.mark.case("OUT-008")
def test_a_dead_remote_is_left_alone_and_welcomed_back_at_once(loner: Loner) -> None:
    """That the waits grow to five minutes and no further is a matter of the rule alone, and checked beside it."""
    party, domain, port = loner.party, "sleeper.example", loner.port()
    loner.publish(domain, port)
    loner.list(domain)
    with loner.stand(domain, port):
        assert party.calls(domain).status == 200
    for _ in range(FAILURES):
        with refusing(party, "connect.refused"):
            refused(party.calls(domain), 502, "remote_refused")
    waits = [left_alone(loner, domain)]
    for _ in range(MOST_TRIES):
        if waits[-1] >= LONG:
            break
        time.sleep(waits[-1])
        refused(party.calls(domain), 502, "remote_refused")
        waits.append(left_alone(loner, domain))
    assert waits[0] <= 3
    assert waits[-1] >= LONG, waits
    with loner.stand(domain, port):
        left_alone(loner, domain)
        assert loner.asked_by(domain).status == 200
        began = time.monotonic()
        assert party.calls(domain).status == 200
        assert time.monotonic() - began < LONG - 2


def left_alone(loner: Loner, domain: str) -> int:
    """A call ends at once; returns the seconds after which it is said that the next one will be tried."""
    began = time.monotonic()
    answer = refused(loner.party.calls(domain), 503, "remote_backoff")
    assert time.monotonic() - began < SLACK
    wait = int(answer.header("Retry-After") or 0)
    assert answer.json["retry_after"] == wait
    assert f"the next attempt is in {wait} s" in answer.json["detail"]
    return wait


@pytest.mark.case("OUT-009")
def test_the_highest_common_version_is_used(loner: Loner) -> None:
    party = loner.party
    listed: dict[str, list[int] | None] = {
        "same.example": [0, 1, 2],
        "odd.example": [1, 999],
        "older.example": None,
        "newer.example": [998, 999],
    }
    stands = {domain: loner.stand(domain, loner.port(), versions=found) for domain, found in listed.items()}
    for domain, stand in stands.items():
        loner.publish(domain, stand.port)
    loner.list(*stands)
    # This release speaks but one version.
    with weak_federator(party, "three-versions"), ExitStack() as stack:
        for stand in stands.values():
            stack.enter_context(stand)
        for domain, version in {"same.example": "2", "odd.example": "1", "older.example": "0"}.items():
            before = stands[domain].about_versions
            assert [party.calls(domain).status for _ in range(3)] == [200] * 3
            assert [seen.header(API_VERSION) for seen in stands[domain].asked] == [version] * 3
            assert stands[domain].about_versions == before + 1
        with refusing(party, "version.none_common"):
            answer = refused(party.calls("newer.example"), 400, "unsupported_version")
        assert answer.json["supported"] == [999, 998]
        assert "this backend is older" in answer.json["detail"]
        newer = stands["newer.example"]
        newer.answer = lambda seen: a_problem(400, "unsupported_version", supported=[998, 999])
        party.api.post("/remotes/newer.example/suspend").raise_for_status()
        wait_until(lambda: [each["attempts"] for each in waiting(loner)] == [1], within=WITHIN, what="an attempt")
        # They are brought up to date: nobody has to do anything else.
        newer.answer = lambda seen: in_json({"state": "active", "acknowledged": 1})
        wait_until(lambda: waiting(loner) == [], within=WITHIN, what="the change to arrive")
        assert {seen.path for seen in newer.asked} == {NOTICE}


def waiting(loner: Loner) -> list[dict[str, Any]]:
    """What waits for the last of them."""
    found: list[dict[str, Any]] = loner.party.api.get("/remotes/newer.example").raise_for_status().json()["waiting"]
    return found
