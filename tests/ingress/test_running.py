"""`isthmus ingress run` keeps nginx as the facts and the certificate say, and never opens the door on a mistake."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from isthmus.ingress import process
from isthmus.ingress.passed_calls import read_call
from tests.ingress.authority import Ca
from tests.ingress.client import PATH, Client
from tests.ingress.conftest import secret
from tests.ingress.running import Ingress, an_ingress


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[Ingress]:
    with an_ingress(tmp_path / "data") as found:
        yield found


def test_it_serves_and_ends_with_its_nginx(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    assert ingress.world.wan.post().status == 200
    assert ingress.status()["well"]
    master = process.master_of(ingress.applier.layout())
    assert ingress.stop() == 0
    assert master is not None
    assert not Path(f"/proc/{master}").exists()
    assert not ingress.status()["running"]


def test_each_call_that_was_passed_on_has_one_line_without_its_body(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    wan = ingress.world.wan
    assert wan.post(PATH, ("X-Request-Id", "the-caller's"), body=b'{"handle":"alice"}').status == 200
    assert wan.post("/elsewhere").status == 404
    assert wan.post(PATH, ("X-Request-Id", 'a"b\\c'), body=b"{}").status == 200

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in ingress.said.splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == "call"]

    ingress.wait(lambda: len(lines()) == 2, "a line for each call")
    first, second = lines()
    assert (first["caller_request_id"], second["caller_request_id"]) == ("the-caller's", 'a"b\\c')
    assert (first["path"], first["status"], first["listener"], first["source"]) == (PATH, 200, "wan", "127.0.0.1")
    assert UUID(first["request_id"]) != UUID(second["request_id"])
    assert 0 <= first["seconds"] < 10
    for kept_out in ("alice", secret("wan"), "BEGIN"):
        assert kept_out not in ingress.said


def test_a_line_of_nginx_is_a_call_only_if_it_is_whole() -> None:
    assert read_call('2026/01/01 00:00:00 [warn] 1#1: {"request_id":"') is None
    assert read_call('{"request_id":"a","caller_request_id":"b","listener":"wan"') is None


def test_an_nginx_that_dies_is_started_again(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    master = process.master_of(ingress.applier.layout())
    assert master is not None
    os.kill(master, signal.SIGKILL)
    ingress.wait(lambda: process.master_of(ingress.applier.layout()) not in (master, None), "another nginx")
    ingress.wait_applied()
    assert ingress.world.wan.post().status == 200


def test_a_runner_that_was_killed_leaves_no_nginx(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    master = process.master_of(ingress.applier.layout())
    assert ingress.runner is not None
    ingress.runner.kill()
    ingress.runner.wait()
    ingress.wait(lambda: not Path(f"/proc/{master}").exists(), "the end of nginx")
    ingress.start()
    ingress.wait_applied()
    assert ingress.world.wan.post().status == 200


def test_a_remote_that_is_added_is_let_in_without_a_restart(ingress: Ingress) -> None:
    facts = ingress.world.facts
    newcomer = Client(facts.listeners[0].port, ingress.world.cas["c"].leaf("infra.c.example"))
    without = [ingress.world.cas[name].pem for name in ("a", "b")]
    ingress.tell(msgspec.structs.replace(facts, anchors=without))
    ingress.start()
    before = ingress.wait_applied()
    assert newcomer.post().code == "client_certificate_rejected"
    ingress.tell(msgspec.structs.replace(facts, generation=2))
    ingress.wait_other(before)
    assert newcomer.post().status == 200
    assert ingress.world.wan.post().status == 200


def test_changes_in_a_row_are_applied_once(ingress: Ingress) -> None:
    ingress.start()
    before = ingress.wait_applied()
    anchors = ingress.world.facts.anchors
    for number in range(2, 12):
        some = anchors[:2] if number % 2 else anchors
        ingress.tell(msgspec.structs.replace(ingress.world.facts, generation=number, anchors=some))
    ingress.wait_other(before)
    ingress.tell(ingress.world.facts)
    ingress.wait(lambda: ingress.wait_applied().digest == before.digest, "the last facts")
    assert ingress.said.count("ingress applied") <= 6


# "Readiness" is `isthmus ingress status`, by exit code and text.
BROKEN_ANCHORS = {"emptied": "", "replaced by text": "trust me\n", "misspelt": "-----BEGIN CERTIFICAT-----\nMIIB\n"}


@pytest.mark.case("TLS-012")
@pytest.mark.parametrize("how", BROKEN_ANCHORS)
def test_broken_trust_anchors_never_open_the_door(ingress: Ingress, how: str) -> None:
    """Neither those that are told, nor those on disk, and a fresh start is refused."""
    stranger = Client(
        ingress.world.facts.listeners[0].port, Ca(ingress.world.folder / "x", "a").leaf("infra.a.example")
    )
    ingress.start()
    before = ingress.wait_applied()
    ingress.tell(msgspec.structs.replace(ingress.world.facts, generation=2, anchors=[BROKEN_ANCHORS[how]]))
    ingress.wait(lambda: "trust anchor 1" in ingress.said, "a word on the anchors")
    runner = ingress.runner
    assert runner is not None
    runner.send_signal(signal.SIGHUP)
    ingress.wait(lambda: ingress.said.count("ingress applied") == 2, "a reload that was asked for")
    status = ingress.status()
    assert not status["well"]
    assert "trust anchor 1 is no certificate in PEM" in status["problem"]
    assert status["mend"]
    shown = ingress.call("status")
    assert shown.returncode == 1
    assert "trust anchor 1 is no certificate in PEM" in shown.stdout
    after = ingress.wait_applied()
    assert after.digest == before.digest
    _stays_strict(ingress, stranger)

    current = ingress.applier.versions.current()
    assert current is not None
    (current / "anchors.pem").write_text(BROKEN_ANCHORS[how])
    master = process.master_of(ingress.applier.layout())
    assert master is not None
    os.kill(master, signal.SIGHUP)
    ingress.wait(lambda: "[emerg]" in ingress.said, "a refusal of nginx itself")
    _stays_strict(ingress, stranger)
    assert ingress.stop() == 0
    ingress.start()
    assert ingress.runner is not None
    assert ingress.runner.wait(timeout=30) == 1
    assert "trust anchor 1 is no certificate in PEM" in ingress.said
    assert ingress.running is None
    assert ingress.call("status").returncode == 1

    ingress.tell(ingress.world.facts)
    ingress.start()
    ingress.wait_applied()
    _stays_strict(ingress, stranger)
    ingress.wait(lambda: ingress.status()["well"], "the end of the problem")
    assert ingress.call("status").returncode == 0


def _stays_strict(ingress: Ingress, stranger: Client) -> None:
    assert ingress.world.wan.post().status == 200
    assert stranger.post().code == "client_certificate_rejected"
    assert Client(stranger.port, None).post().code == "client_certificate_required"
