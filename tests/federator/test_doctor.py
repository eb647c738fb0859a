"""The doctor names the link that is broken, says what mends it, and prints no secret."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from isthmus.protocol.federator import Finding
from lab.names_server import Reply, answers
from tests.federator.abroad import VERSIONS, Asked, Ingress, a_problem, a_real_authority, a_server_leaf, an_answer
from tests.federator.home import Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import CLIENT, Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

SRV = "_isthmus-federator._tcp.b.example SRV"


async def examine(home: Home) -> dict[str, Finding]:
    answer = await home.call("/doctor/b.example", b"")
    assert answer.status == 200
    text = answer.body.decode()
    assert "PRIVATE" not in text
    assert "BEGIN" not in text
    found = [Finding(**finding) for finding in answer.problem["findings"]]
    assert answer.problem["domain"] == "b.example"
    for finding in found:
        assert finding.ok or (finding.observed and finding.mend and finding.expected), finding
    # Of two findings of one step the bad one counts.
    return {finding.step: finding for finding in sorted(found, key=lambda finding: not finding.ok)}


def healthy(asked: Asked) -> bytes:
    called_back = asked.path.endswith("call-back")
    return an_answer(body=json.dumps({"ok": True} if called_back else {}).encode())


async def test_with_no_fault_every_link_is_ok_and_a_call_came_back(home: Home, b: Ingress) -> None:
    b.answer = healthy
    findings = await examine(home)
    assert [step for step, finding in findings.items() if not finding.ok] == []
    assert set(findings) == {
        "list", "own certificate", "srv", "pins", "addresses", "tcp", "tls", "chain", "usage", "name", "call",
        "version", "call back",
    }  # fmt: skip


Break = Callable[[Home, Ingress, Forged], None]


def no_record(home: Home, b: Ingress, authority: Forged) -> None:
    home.names.say(SRV, Reply(rcode="NXDOMAIN"))


def dead_dns(home: Home, b: Ingress, authority: Forged) -> None:
    home.names.say(SRV, Reply(rcode="SERVFAIL"))


def other_target(home: Home, b: Ingress, authority: Forged) -> None:
    home.names.say(SRV, *answers(f"60 SRV 0 0 {b.port} infra.x.example."))


def no_address(home: Home, b: Ingress, authority: Forged) -> None:
    home.names.say("infra.b.example A", Reply())


def forbidden_address(home: Home, b: Ingress, authority: Forged) -> None:
    home.names.say("infra.b.example A", *answers("60 A 169.254.169.254"))


def nobody_there(home: Home, b: Ingress, authority: Forged) -> None:
    home.names.say("infra.b.example A", *answers("60 A 127.0.0.55"))


def other_authority(home: Home, b: Ingress, authority: Forged) -> None:
    home.know(an_entry(a_real_authority("Another CA")), ports=[b.port])


def suspended(home: Home, b: Ingress, authority: Forged) -> None:
    home.know(an_entry(authority, state="suspended"), ports=[b.port])


def pending(home: Home, b: Ingress, authority: Forged) -> None:
    home.know(an_entry(authority, state="pending"), ports=[b.port])


def unlisted(home: Home, b: Ingress, authority: Forged) -> None:
    home.know(ports=[b.port])


def own_revoked(home: Home, b: Ingress, authority: Forged) -> None:
    home.know(an_entry(authority), ports=[b.port], own_revoked=[home.fingerprint])


def versions(home: Home, b: Ingress, authority: Forged) -> None:
    b.versions = [998, 999]


def clock(home: Home, b: Ingress, authority: Forged) -> None:
    b.versions = None

    def answer(asked: Asked) -> bytes:
        body = b'{"versions":[0]}' if asked.path == VERSIONS else b'{"ok":true}'
        return an_answer(200, body, "application/json", "Date: Thu, 01 Jan 2026 00:00:00 GMT")

    b.answer = answer


def rejects_us(home: Home, b: Ingress, authority: Forged) -> None:
    b.versions = None
    b.answer = lambda asked: a_problem(403, "client_certificate_rejected", request_id="r-3")


def no_way_back(home: Home, b: Ingress, authority: Forged) -> None:
    told = {"ok": False, "code": "discovery_no_service", "detail": "DNS lists no service"}
    b.answer = lambda asked: an_answer(body=json.dumps(told).encode())


BREAKS: dict[str, tuple[Break, str, str]] = {
    "no record": (no_record, "srv", "theirs"),
    "dns is down": (dead_dns, "srv", "dns"),
    "another target": (other_target, "pins", "theirs"),
    "no address": (no_address, "addresses", "theirs"),
    "a forbidden address": (forbidden_address, "addresses", "theirs"),
    "nobody at the address": (nobody_there, "tcp", "theirs"),
    "another authority": (other_authority, "chain", "theirs"),
    "suspended": (suspended, "list", "ours"),
    "pending": (pending, "list", "ours"),
    "not listed": (unlisted, "list", "ours"),
    "our certificate": (own_revoked, "own certificate", "ours"),
    "versions": (versions, "version", "ours"),
    "the clock": (clock, "clock", "both"),
    "they reject us": (rejects_us, "call", "theirs"),
    "no way back": (no_way_back, "call back", "ours"),
}


@pytest.mark.parametrize("which", BREAKS)
async def test_the_broken_link_is_named(home: Home, b: Ingress, b_authority: Forged, which: str) -> None:
    b.answer = healthy
    do, step, side = BREAKS[which]
    do(home, b, b_authority)
    findings = await examine(home)
    assert not findings[step].ok, findings
    assert findings[step].side == side
    later = [each for each in findings.values() if not each.ok and each.step not in (step, "call")]
    assert not later


LEAVES: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"names": ("other.b.example",)}, "name"),
    "usage": ({"usages": (CLIENT,)}, "usage"),
    "dates": ({"late": True}, "chain"),
}


@pytest.mark.parametrize("which", LEAVES)
async def test_what_is_wrong_with_their_certificate_is_named(home: Home, b_authority: Forged, which: str) -> None:
    fields, step = LEAVES[which]
    if fields.pop("late", False):
        good = a_server_leaf(b_authority).certificate
        fields = {
            "starts": good.not_valid_before_utc - timedelta(days=3),
            "ends": good.not_valid_before_utc - timedelta(days=2),
        }
    async with Ingress(a_server_leaf(b_authority, **fields), home.authority).running() as ingress:
        home.publish("b.example", ingress)
        home.know(an_entry(b_authority), ports=[ingress.port])
        findings = await examine(home)
    assert [name for name, finding in findings.items() if not finding.ok] == [step, "call"]


async def test_the_doctor_sees_what_dns_says_now(home: Home, b: Ingress) -> None:
    b.answer = healthy
    assert (await home.call()).status == 200
    home.names.say("infra.b.example A", *answers("60 A 169.254.169.254"))
    assert not (await examine(home))["addresses"].ok


async def test_a_bad_domain_is_none_for_the_doctor(home: Home, b: Ingress) -> None:
    assert (await home.call("/doctor/B", b"")).code == "malformed_request"
