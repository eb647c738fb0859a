"""How refusals and silence are told, and with which exit code."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from isthmus.cli import client
from tests.cli.conftest import Run, Script
from tests.cli.samples import a_problem

LIST = "GET /api/v1/networks?limit=500"


def test_a_refusal_tells_title_detail_field_mend_and_request_id_and_exits_1(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/networks", a_problem(), status=422)
    shown = isthmus("network", "create", "office", "--cidr", "10.20.0.5/24")
    assert shown.code == 1
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "error: The request is not valid",
        "  cidr_v4: has bits set behind its prefix (did you mean 10.20.0.0/24?)",
        "  what to do: correct the fields and try again",
        "  request id: req-42",
    ]


def test_a_hint_is_told_once(isthmus: Run, server: Script) -> None:
    hint = a_problem()["errors"][0]["hint"]
    server.on("POST /api/v1/networks", a_problem(hint=hint), status=422)
    assert isthmus("network", "create", "office").err.count(hint) == 1


def test_a_refusal_of_the_whole_request_tells_its_detail(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/networks", a_problem(errors=None), status=422)
    assert "  cidr_v4 has bits set behind its prefix" in isthmus("network", "create", "office").err.splitlines()


def test_with_json_the_problem_document_comes_as_it_is(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/networks", a_problem(), status=422)
    shown = isthmus("network", "create", "office", "--json")
    assert (shown.code, shown.out) == (1, "")
    assert json.loads(shown.err) == a_problem()


def test_a_hostile_problem_document_cannot_steer_the_terminal(isthmus: Run, server: Script) -> None:
    evil = "\x1b]0;evil\x07\nerror: forged"
    problem = a_problem(title=evil, detail=evil, hint=evil, request_id=evil, errors=[{"pointer": evil, "detail": evil}])
    server.on(LIST, problem, status=400)
    shown = isthmus("network", "list")
    assert len(shown.err.splitlines()) == 4
    assert all(line.isprintable() for line in shown.err.splitlines())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"text"', b"\xff"])
def test_an_error_without_a_document_still_names_status_and_request(isthmus: Run, server: Script, body: bytes) -> None:
    server.on(LIST, body, status=500, headers={"X-Request-ID": "req-43"})
    shown = isthmus("network", "list")
    assert shown.code == 1
    assert shown.err.splitlines() == ["error: the server answered 500", "  request id: req-43"]


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"<html>"), (503, b""), (504, b""), (200, b"<html>"), (301, b""), (302, b"{}")]
)
def test_what_answers_but_is_no_isthmus_server_counts_as_unreachable(
    isthmus: Run, server: Script, status: int, body: bytes
) -> None:
    server.on(LIST, body, status=status, headers={"Location": "http://elsewhere.example"})
    shown = isthmus("network", "list")
    assert shown.code == 3
    assert "is no Isthmus server" in shown.err


def test_no_server_exits_3_and_says_how_to_start_one(isthmus: Run, tmp_path: Path) -> None:
    shown = isthmus("network", "list")
    assert (shown.code, shown.out) == (3, "")
    assert f"no server answers at {tmp_path}/data/server.sock" in shown.err
    assert "`isthmus server`" in shown.err
    assert "make run" in shown.err


def test_a_socket_that_nobody_listens_on_is_no_server(isthmus: Run, tmp_path: Path) -> None:
    stale = tmp_path / "stale.sock"
    stale.touch()
    shown = isthmus("peer", "list", "--socket", str(stale), "--json")
    assert shown.code == 3
    assert json.loads(shown.err)["title"] == f"no server answers at {stale}: Connection refused"


def test_a_server_elsewhere_that_does_not_answer_exits_3(isthmus: Run, unused_port: int) -> None:
    shown = isthmus("network", "list", "--server", f"http://127.0.0.1:{unused_port}")
    assert shown.code == 3
    assert f"http://127.0.0.1:{unused_port} does not answer" in shown.err


def test_a_server_that_stays_silent_is_given_up(isthmus: Run, silent_server: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(client, "TIMEOUT", httpx2.Timeout(0.2))
    shown = isthmus("network", "list", "--server", silent_server)
    assert shown.code == 3
    assert "no answer in time" in shown.err


def test_misuse_exits_2(isthmus: Run) -> None:
    for arguments in (
        ["network", "create"],
        ["network", "list", "--nonsense"],
        ["network", "list", "--server", "nonsense"],
        ["peer", "create", "x", "--network", "office", "--kind", "node"],
        ["peer", "token", "x", "--lifetime", "soon"],
    ):
        shown = isthmus(*arguments)
        assert (shown.code, shown.out) == (2, ""), arguments
        assert "rror: " in shown.err
