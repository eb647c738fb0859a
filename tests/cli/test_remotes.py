"""`isthmus federation` and `isthmus remote`: what is sent, and what people read."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, Script
from tests.cli.samples import Json, a_problem, page

INSTANCE = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
ID = "01890000-0000-7000-8000-000000000009"
TEXT = "-----BEGIN ISTHMUS INVITATION-----\nZm9v\n-----END ISTHMUS INVITATION-----\n"
CODE = "K7PD-9QXM-3T4W"
ONE = "/api/v1/remotes/b.example"


def facts(**changes: Any) -> Json:
    return {
        "domain": "a.example",
        "infra_domains": ["infra.a.example"],
        "strategy": "list",
        "service": "isthmus-federator",
        "listeners": [{"id": "wan", "address": "::", "port": 8443, "network": "wan"}],
        "ports": [443, 8443],
        "shared_roots": 0,
        "generation": 1,
        "version": 1,
        "srv_records": ["_isthmus-federator._tcp.a.example. 300 IN SRV 0 10 8443 infra.a.example."],
    } | changes


def a_remote(**changes: Any) -> Json:
    return {
        "id": ID,
        "domain": "b.example",
        "generation": 2,
        "state": "active",
        "state_there": "active",
        "changed_at": "2026-11-23T20:00:00Z",
        "direction": "both",
        "components": None,
        "trust": "pinned",
        "infra_domains": ["infra.b.example"],
        "limits": {
            "requests": 50.0,
            "requests_burst": 100,
            "mutations": 10.0,
            "mutations_burst": 20,
            "parallel": 32,
        },
        "expires_at": None,
        "needs_dnssec": False,
        "needs_tlsa": False,
        "known_instances_only": False,
        "wan_permitted": True,
        "confirmed_here": True,
        "confirmed_there": True,
        "short_code": CODE,
        "bundle_sequence": 7,
        "bundle_digest": "ab" * 32,
        "contact": "",
        "notes": "",
        "version": 3,
    } | changes


def details(**changes: Any) -> Json:
    message = {
        "lane": "state",
        "number": 4,
        "component": "handshake",
        "rpc": "notice",
        "created_at": "2026-11-23T20:00:00Z",
        "next_at": "2026-11-23T20:00:00Z",
        "attempts": 3,
        "error": "remote_refused: no answer",
        "parked": "",
    }
    instance = {
        "instance": INSTANCE,
        "first_seen": "2026-11-23T20:00:00Z",
        "last_seen": "2026-11-23T20:00:00Z",
        "blocked_at": None,
        "reason": "",
    }
    revoked = {"at": "2026-11-23T20:00:00Z", "reason": "lost", "serial": "abc", "fingerprint": None, "key": None}
    more = {
        "instances": [instance],
        "revocations": [revoked | {"instance": None}],
        "lanes": [],
        "waiting": [message, message | {"number": 5, "parked": "validation_failed"}],
        "accepting_until": None,
        "earlier": [{"generation": 1, "state": "revoked", "changed_at": "2026-11-23T20:00:00Z"}],
    }
    return a_remote() | more | changes


def test_init_sends_what_was_given_and_shows_the_record_to_publish(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/federation/init", facts(), status=201)
    done = isthmus("federation", "init", "--domain", "a.example", "--infra", "infra.a.example")
    assert server.bodies_of("POST") == [{"domain": "a.example", "infra_domains": ["infra.a.example"]}]
    assert done.code == 0
    assert "  _isthmus-federator._tcp.a.example. 300 IN SRV 0 10 8443 infra.a.example.\n" in done.out
    assert "isthmus up" in done.out
    missing = isthmus("federation", "init", "--domain", "a.example")
    assert (missing.code, "--infra infra.a.example" in missing.err) == (2, True)


def test_the_facts_are_shown_and_set_by_their_etag(isthmus: Run, server: Script, tmp_path: Path) -> None:
    server.on("GET /api/v1/federation", facts(), headers={"etag": '"4"'})
    assert "[::]:8443 (wan)" in isthmus("federation", "show").out
    assert isthmus("federation", "show", "--json").json["strategy"] == "list"
    server.on("PATCH /api/v1/federation", facts(strategy="all"))
    (tmp_path / "roots.pem").write_text("PEM")
    roots = ("--shared-roots", str(tmp_path / "roots.pem"))
    given = ("--strategy", "all", "--port", "443", "--service", "x", "--listen", "[::]:443", *roots)
    done = isthmus("federation", "set", *given, "--infra", "i.a.example")
    sent = {"strategy": "all", "ports": [443], "service": "x", "listen": "[::]:443", "shared_roots": "PEM"}
    assert server.bodies_of("PATCH") == [{**sent, "infra_domains": ["i.a.example"]}]
    assert server.asked[-1].headers["If-Match"] == '"4"'
    assert "all" in done.out
    for wrong in ((), ("--strategy", "some"), ("--shared-roots", str(tmp_path / "none"))):
        assert isthmus("federation", "set", *wrong).code == 2


def test_an_invitation_alone_goes_to_standard_output(isthmus: Run, server: Script) -> None:
    made = {"id": ID, "domain": "b.example", "expires_at": "2026-11-24T20:00:00Z", "text": TEXT}
    server.on("POST /api/v1/remotes/invitations", made, status=201)
    done = isthmus("remote", "invite", "b.example", "--lifetime", "1h")
    assert server.bodies_of("POST") == [{"domain": "b.example", "lifetime": 3600}]
    assert done.out == TEXT
    for word in ("isthmus remote accept", "isthmus remote confirm", "2026-11-24 20:00 UTC", "b.example"):
        assert word in done.err
    as_json = isthmus("remote", "invite", "b.example", "--json")
    assert (as_json.json["text"], as_json.err) == (TEXT, "")


def test_an_invitation_is_accepted_from_a_file_or_standard_input(isthmus: Run, server: Script, tmp_path: Path) -> None:
    answer = {"remote": a_remote(state="pending", confirmed_here=False), "problem": None}
    server.on("POST /api/v1/remotes/accept", answer, status=201)
    file = tmp_path / "invitation.txt"
    file.write_text(TEXT)
    for arguments, stdin in (([str(file)], ""), (["-"], TEXT), ([], TEXT)):
        done = isthmus("remote", "accept", *arguments, stdin=stdin)
        assert done.code == 0
        assert CODE in done.out
        assert "isthmus remote confirm b.example" in done.out
    assert server.bodies_of("POST") == [{"invitation": TEXT}] * 3
    assert isthmus("remote", "accept", str(tmp_path / "none")).code == 2
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert isthmus("remote", "accept", str(tmp_path / "bytes")).code == 2


def test_an_acceptance_that_could_not_be_told_says_why_and_that_it_is_tried_again(isthmus: Run, server: Script) -> None:
    problem = {"code": "remote_refused", "detail": "no\x1b[2J answer", "retryable": True, "remote_code": ""}
    server.on("POST /api/v1/remotes/accept", {"remote": a_remote(), "problem": problem}, status=201)
    done = isthmus("remote", "accept", "-", stdin=TEXT)
    assert done.code == 0
    assert "\x1b" not in done.out
    for word in ("could not be told yet", "remote_refused", "isthmus remote doctor b.example"):
        assert word in done.out


def test_a_code_is_confirmed_when_it_is_given_and_asked_about_at_a_terminal_only(isthmus: Run, server: Script) -> None:
    server.on(f"POST {ONE}/confirm", a_remote(state="pending"))
    waiting = isthmus("remote", "confirm", "b.example", "--code", CODE)
    assert server.bodies_of("POST") == [{"short_code": CODE}]
    assert "once its operator has confirmed too" in waiting.out
    server.on(f"POST {ONE}/confirm", a_remote())
    assert isthmus("remote", "confirm", "b.example", "--code", CODE).out == "remote b.example is active\n"
    server.on(f"GET {ONE}", details())
    unasked = isthmus("remote", "confirm", "b.example")
    assert (unasked.code, "--code" in unasked.err) == (2, True)
    server.on(f"POST {ONE}/confirm", a_problem(detail="is not the short code of this remote"), status=422)
    assert isthmus("remote", "confirm", "b.example", "--code", "X").code == 1


STANDINGS: dict[str, Json] = {
    "active": {},
    "suspended by them": {"state_there": "suspended"},
    "suspended": {"state": "suspended"},
    "suspended by both": {"state": "suspended", "state_there": "suspended"},
    "revoked": {"state": "revoked"},
    "revoked by them": {"state": "revoked", "state_there": "revoked"},
    "pending: confirm here": {"state": "pending", "confirmed_here": False},
    "pending: confirmed here": {"state": "pending"},
}


@pytest.mark.parametrize("words", STANDINGS)
def test_a_list_tells_how_the_two_sides_stand(isthmus: Run, server: Script, words: str) -> None:
    server.on("GET /api/v1/remotes?limit=500", page(a_remote(**STANDINGS[words])))
    line = isthmus("remote", "list").out.splitlines()[1]
    assert line.split("  ")[0] == "b.example"
    assert line.split("  ")[1].strip() == words


def test_details_show_what_was_not_heard_yet(isthmus: Run, server: Script) -> None:
    server.on(f"GET {ONE}", details())
    shown = isthmus("remote", "show", "b.example").out
    for word in (CODE, INSTANCE, "state/4", "remote_refused: no answer", "refused for ever: validation_failed", "abc"):
        assert word in shown
    assert "number 2, 1 before it are revoked" in shown
    server.on(f"GET {ONE}", details(accepting_until="2026-11-24T20:00:00Z", trust="shared", waiting=[]))
    shown = isthmus("remote", "show", "b.example").out
    assert "2026-11-24 20:00 UTC" in shown
    assert "shared roots" in shown


def test_what_a_remote_may_do_is_set_by_its_etag(isthmus: Run, server: Script) -> None:
    server.on(f"GET {ONE}", details(), headers={"etag": '"3"'})
    server.on(f"PATCH {ONE}", a_remote())
    given = ("--direction", "in", "--component", "directory", "--limit", "requests=2.5", "--limit", "parallel=3")
    flags = ("--dnssec", "--no-tlsa", "--known-instances")
    isthmus("remote", "set", "b.example", *given, "--contact", "ops", *flags, "--expires", "never")
    sent: Json = {"direction": "in", "components": ["directory"], "limits": {"requests": 2.5, "parallel": 3}}
    sent |= {"contact": "ops", "needs_dnssec": True, "needs_tlsa": False, "expires_at": None}
    sent["known_instances_only"] = True
    assert server.bodies_of("PATCH") == [sent]
    assert [each.headers.get("If-Match") for each in server.asked if each.method == "PATCH"] == ['"3"']
    isthmus("remote", "set", "b.example", "--component", "", "--expires", "30d")
    assert server.bodies_of("PATCH")[1]["components"] is None
    assert server.bodies_of("PATCH")[1]["expires_at"].endswith("+00:00")
    for wrong in ((), ("--limit", "x=1"), ("--limit", "requests=x"), ("--direction", "up"), ("--expires", "soon")):
        assert isthmus("remote", "set", "b.example", *wrong).code == 2


def test_a_remote_is_suspended_resumed_and_revoked(isthmus: Run, server: Script) -> None:
    for verb, words in (("suspend", "is suspended"), ("resume", "active again"), ("revoke", "is revoked")):
        server.on(f"POST {ONE}/{verb}", a_remote())
        done = isthmus("remote", verb, "b.example")
        assert (done.code, words in done.out) == (0, True)
    assert server.bodies_of("POST") == [None] * 3


def test_a_remote_is_removed(isthmus: Run, server: Script) -> None:
    server.on(f"DELETE {ONE}", b"", status=204)
    done = isthmus("remote", "remove", "b.example")
    assert (done.code, done.out) == (0, "remote b.example is removed\n")
    assert isthmus("remote", "remove", "b.example", "--json").json == {"deleted": "b.example"}


def test_messages_that_wait_are_listed_tried_again_and_dropped(isthmus: Run, server: Script) -> None:
    waits = details()["waiting"]
    server.on(f"GET {ONE}/messages?limit=500", page(*waits))
    shown = isthmus("remote", "messages", "b.example").out
    for word in (
        "state/4",
        "remote_refused: no answer",
        "2026-11-23 20:00 UTC",
        "parked",
        "refused for ever: validation",
    ):
        assert word in shown
    server.on(f"GET {ONE}/messages?limit=500", page())
    assert isthmus("remote", "messages", "b.example").out == "nothing waits\n"
    server.on(f"POST {ONE}/messages/retry", {"messages": 2})
    assert isthmus("remote", "messages", "b.example", "retry").out == "2 are tried again\n"
    server.on(f"POST {ONE}/messages/state/4/drop", {"instead": waits[0]})
    done = isthmus("remote", "messages", "b.example", "drop", "state/4", "--reason", "why")
    assert (done.code, "state/4 is dropped; a notice" in done.out) == (0, True)
    assert server.bodies_of("POST")[-1] == {"reason": "why"}
    for wrong in (("drop",), ("drop", "4", "--reason", "x"), ("drop", "state/4"), ("retry", "state/4"), ("mend",)):
        assert isthmus("remote", "messages", "b.example", *wrong).code == 2


def test_one_leaf_or_instance_of_a_remote_is_revoked_with_a_reason(isthmus: Run, server: Script) -> None:
    server.on(f"POST {ONE}/revocations", {}, status=201)
    for given, sent in (
        (("--instance", INSTANCE), {"instance": INSTANCE}),
        (("--leaf", "AB:CD"), {"fingerprint": "abcd"}),
        (("--serial", "0xABC"), {"serial": "abc"}),
        (("--public-key", "ab"), {"key": "ab"}),
    ):
        done = isthmus("remote", "revoke", "b.example", *given, "--reason", "lost")
        assert (done.code, "counts no more" in done.out) == (0, True)
        assert server.bodies_of("POST")[-1] == {**sent, "reason": "lost"}
    assert isthmus("remote", "revoke", "b.example", "--serial", "abc").code == 2
    assert isthmus("remote", "revoke", "b.example", "--serial", "a", "--leaf", "b", "--reason", "x").code == 2


def test_an_instance_is_blocked_and_unblocked(isthmus: Run, server: Script) -> None:
    server.on(f"POST {ONE}/instances/{INSTANCE}/block", {})
    assert isthmus("remote", "block", "b.example", INSTANCE, "--reason", "odd").code == 0
    assert server.bodies_of("POST") == [{"reason": "odd"}]
    server.on(f"DELETE {ONE}/instances/{INSTANCE}/block", b"", status=204)
    assert isthmus("remote", "unblock", "b.example", INSTANCE).code == 0
    assert isthmus("remote", "unblock", "b.example", "x").code == 2


def test_a_remote_of_the_shared_roots_is_added(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/remotes", a_remote(trust="shared"), status=201)
    assert isthmus("remote", "add", "b.example", "--infra", "infra.b.example").out == "remote b.example is active\n"
    assert server.bodies_of("POST") == [{"domain": "b.example", "infra_domains": ["infra.b.example"]}]


def test_invitations_are_listed(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/remotes/invitations?limit=500", page())
    assert "isthmus remote invite" in isthmus("remote", "invitations").out
    row = {"id": ID, "domain": "b.example", "state": "open", "created_by": "user:ada"}
    server.on("GET /api/v1/remotes/invitations?limit=500", page(row | {"expires_at": "2026-11-24T20:00:00Z"}))
    assert isthmus("remote", "invitations").out.splitlines()[1].split()[:3] == [ID, "b.example", "open"]
    server.on(f"DELETE /api/v1/remotes/invitations/{ID}", b"", status=204)
    assert isthmus("remote", "withdraw", ID).code == 0


def test_findings_say_how_bad_since_when_and_what_to_do(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/findings?limit=500", page())
    assert isthmus("findings").out == "nothing looks wrong\n"
    found = {
        "id": ID,
        "kind": "infra_domain_changed",
        "severity": "warning",
        "domain": "b.example",
        "subject": "",
        "first_at": "2026-11-24T20:00:00Z",
        "last_at": "2026-11-24T20:00:00Z",
        "count": 2,
        "evidence": {"announced": ["x.example"]},
        "mend": "ask its operator",
        "cleared_at": None,
    }
    server.on("GET /api/v1/findings?limit=500", page(found))
    shown = isthmus("findings").out
    for word in ("warning", "b.example", "announced=x.example", "infra_domain_changed: ask its operator"):
        assert word in shown
    assert isthmus("findings", "--json").json["items"] == [found]
    gone = found | {"cleared_at": "2026-11-24T21:00:00Z"}
    server.on("GET /api/v1/findings?cleared=true&limit=500", page(gone))
    shown = isthmus("findings", "--all").out
    assert "cleared" in shown
    assert "ask its operator" not in shown


def a_link(step: str, **changes: Any) -> Json:
    return {
        "step": step,
        "ok": True,
        "observed": "infra.b.example:8443",
        "expected": "",
        "mend": "",
        "side": "",
    } | changes


def test_the_doctor_says_ok_or_the_mend_of_each_link_and_fails_on_a_fault(isthmus: Run, server: Script) -> None:
    good = {"domain": "b.example", "ok": True, "findings": [a_link("srv"), a_link("chain")]}
    server.on(f"POST {ONE}/doctor", good)
    done = isthmus("remote", "doctor", "b.example")
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["ok", "srv", "infra.b.example:8443"]
    assert "all links to b.example are ok" in done.out
    fault = a_link("chain", ok=False, observed="x\x1b[2J", expected="a known CA", mend="renew it", side="theirs")
    server.on(f"POST {ONE}/doctor", good | {"ok": False, "findings": [a_link("srv"), fault]})
    done = isthmus("remote", "doctor", "b.example")
    assert done.code == 1
    assert "\x1b" not in done.out
    for word in ("FAULT", "expected: a known CA", "what to do (on their side): renew it", "1 of 2 links are broken"):
        assert word in done.out
    assert isthmus("remote", "doctor", "b.example", "--json").json["ok"] is False
