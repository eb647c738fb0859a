"""`make lab`: the journey on a terminal, how it ends, and what it says when something is not as promised."""

import signal
import subprocess
import sys

import pytest

from lab import demo, journey

pytestmark = pytest.mark.timeout(300)


def test_the_journey_holds_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["mesh"]) == 0
    shown = capsys.readouterr().out
    for command in (
        "server # isthmus network create office --cidr 10.20.0.0/24",
        "laptop # isthmus agent enroll --server https://203.0.113.10 --token-file -",
        "phone # wg-quick up wg0",
        "server # isthmus peer update tablet --isolated",
        "tablet # ping -c 1 laptop.office.internal",
        "server # isthmus peer paths laptop",
        "server # isthmus peer rotate-key laptop --wait",
        "server # isthmus peer config-history tablet",
        "server # isthmus incident show",
        "server # isthmus peer revoke-session tablet --yes",
        "server # isthmus network create berlin --template branch",
        "server # isthmus peer import /run/peers.csv --network berlin --dry-run",
    ):
        assert command in shown
    for fact in (
        "✓ laptop does not reach tablet",
        "✓ laptop and tablet talk directly",
        "✓ gw and tablet know laptop again",
        "✓ the dry run has made no peer",
        "✓ laptop reaches tablet through gw2",
    ):
        assert fact in shown
    assert "expectations held" in shown.splitlines()[-1]
    assert "\x1b" not in shown


def test_three_organisations_find_each_other_and_every_arrow_of_a_call_is_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert demo.main(["federation"]) == 0
    shown = capsys.readouterr().out
    for said in (
        "a # isthmus federation init --domain a.example --infra infra.a.example",
        "_isthmus-federator._tcp.a.example. 300 IN SRV",
        "a # isthmus remote invite b.example",
        "b # isthmus remote accept -",
        "a # isthmus user lookup alice@b.example",
        "a # isthmus remote doctor b.example",
        "FAULT  tcp",
        "b # isthmus remote suspend a.example",
        "a # isthmus remote revoke b.example --yes",
        "✓ the audit log of B says why: chain.other_remote",
        "✓ A knows that B has suspended it",
        "✓ they federate anew, as generation 2",
    ):
        assert said in shown
    facts = [line.strip() for line in shown.splitlines() if line.startswith("  ✓ ")]
    arrows = [fact.removeprefix("✓").split()[0] for fact in facts if fact.removeprefix("✓").split()[0].isdigit()]
    assert arrows == [str(number) for number in range(1, 15)]
    assert "expectations held" in shown.splitlines()[-1]


# It waits for a lease to end, a minute.
@pytest.mark.timeout(600)
def test_two_organisations_join_their_networks_and_part_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["bridge"]) == 0
    shown = capsys.readouterr().out
    for said in (
        "a # isthmus bridge propose b.example --network office",
        "b # isthmus bridge accept ",
        "a # isthmus service create wiki --network office",
        "a # isthmus grant create --to bob@b.example --kind service --resource wiki --scopes connect,read --instance ",
        "a # isthmus bridge status ",
        "a # isthmus grant explain ",
        "✓ nothing passes yet",
        "✓ fresh start → first allowed packet: ",
        "✓ b-app reads the wiki of A",
        "✓ b-other is answered 403: axis instance",
        "✓ suspended by A: last packet into A ",
        "✓ suspended by B: last packet into A ",
        "✓ instance blocked: last packet into A ",
        "✓ grant revoked: last packet into A ",
        "✓ the last packet passed ",
        "✓ bridge revoked by B: last packet into A ",
        "✓ no host holds a rule, a route or a tunnel of the bridge any more",
    ):
        assert said in shown
    assert "expectations held" in shown.splitlines()[-1]


def test_a_step_that_fails_says_what_was_expected_and_shows_the_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(told: journey.Journey) -> None:
        """A ping to nowhere"""
        told.reaches(told.backend.host, "nowhere", "203.0.113.99")

    monkeypatch.setattr(journey, "FOLLOW_SECONDS", 0.1)
    monkeypatch.setattr(demo, "STEPS", [unreachable])
    assert demo.main() == 1
    shown = capsys.readouterr().out
    assert "203.0.113.99 (nowhere) to answer server" in shown
    assert "the last lines of the log of server" in shown
    assert "Isthmus is running at" in shown.partition("last lines")[2]


def test_ctrl_c_ends_it_at_once_and_says_that_all_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-m", "lab"], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            for line in running.stdout:
                if "network create" in line:
                    break
            running.send_signal(signal.SIGINT)
            rest, _ = running.communicate(timeout=20)
        finally:
            running.kill()
    assert running.returncode == 130
    assert rest.splitlines()[-1].startswith("✗ interrupted")
