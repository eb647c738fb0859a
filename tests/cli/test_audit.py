"""`isthmus audit`: filters, an export that verifies anywhere, and a verification that names the first bad row."""

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from isthmus.domain.audit import GENESIS, Seal, linked
from isthmus.protocol.audit import signed
from isthmus.protocol.audit_row import Said, content
from isthmus.protocol.message_key import MessageKey, encoded
from tests.builders import NOON
from tests.cli.conftest import Run, Script
from tests.cli.samples import page

KEY = MessageKey.generate()
PAGE = 500


def b64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def a_log(length: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with their links, and the seals of every tenth, as the API answers them."""
    rows, seals, head, before = [], [], GENESIS, Seal(0, GENESIS, NOON, "")
    for number in range(1, length + 1):
        at = NOON + timedelta(seconds=number, microseconds=number)
        row = Said(at, "user:ada", "network.create", str(number), "done", "r", None, {"n": number, "x": 0.1})
        head = linked(head, number, content(row))
        rows.append({"number": number, **asdict(row), "at": at.isoformat(), "hash": head.hex()})
        if number % 10 == 0:
            before = signed(Seal(number, head, at, "", before.number, before.hash), "a.example", KEY)
            shown = {name: getattr(before, name) for name in ("number", "key_id", "previous")}
            hashes = {"hash": head.hex(), "previous_hash": before.previous_hash.hex()}
            made = {"at": at.isoformat(), "public_key": b64(KEY.public), "signature": b64(before.signature)}
            seals.append({**shown, **hashes, **made})
    return rows, seals


def serve(server: Script, rows: list[dict[str, Any]], seals: list[dict[str, Any]], last: int, linked_: int) -> None:
    head = rows[linked_ - 1]["hash"]
    sealed = max((seal["number"] for seal in seals), default=0)
    chain = {"domain": "a.example", "last": last, "linked": linked_, "hash": head, "sealed": sealed}
    server.on("GET /api/v1/audit/chain", chain)
    server.on(f"GET /api/v1/audit/seals?after=0&limit={PAGE}", page(*seals))
    after = 0
    while True:
        items, rest = rows[after : after + PAGE], rows[after + PAGE :]
        follows = str(after + PAGE) if rest else None
        server.on(f"GET /api/v1/audit?after={after}&limit={PAGE}", {"items": items, "next": follows})
        if not rest:
            break
        after += PAGE


def test_an_untouched_log_verifies_page_by_page(isthmus: Run, server: Script) -> None:
    rows, seals = a_log(1203)
    serve(server, rows, seals, 1203, 1203)
    done = isthmus("audit", "verify")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"1203 rows and 120 seals checked; row 1203 is {rows[-1]['hash']}",
        f"sealed by {KEY.id}",
        "every row says what it said when it was written",
    ]
    shown = isthmus("audit", "verify", "--json").json
    assert (shown["ok"], shown["rows"], shown["seals"], shown["fault"]) == (True, 1203, 120, None)


def test_rows_that_come_meanwhile_are_left_to_the_next_time(isthmus: Run, server: Script) -> None:
    rows, seals = a_log(30)
    serve(server, rows, seals[:1], 15, 12)
    server.answers["GET /api/v1/audit/chain"] = (200, json.dumps({
        "domain": "a.example", "last": 15, "linked": 12, "hash": rows[11]["hash"], "sealed": 10
    }).encode(), {})  # fmt: skip
    chains = [15, 30]
    real = server.answers["GET /api/v1/audit/chain"]

    class Later(dict[str, Any]):
        """The second time that it is asked the log has grown."""

        def get(self, key: str, default: Any = None) -> Any:
            if key == "GET /api/v1/audit/chain":
                body = json.loads(real[1]) | {"last": chains.pop(0)}
                return 200, json.dumps(body).encode(), {}
            return super().get(key, default)

    server.answers = Later(server.answers)
    shown = isthmus("audit", "verify", "--json")
    assert shown.code == 0, shown.err
    assert (shown.json["rows"], shown.json["seals"], shown.json["unlinked"]) == (15, 1, 3)


@pytest.mark.parametrize(
    ("spoil", "row", "wrong"),
    [
        (lambda rows: rows[6].update(actor="user:eve"), 7, "changed"),
        (lambda rows: rows[6]["facts"].update(n=8), 7, "changed"),
        (lambda rows: rows.pop(6), 7, "missing"),
        (lambda rows: rows.__delitem__(slice(25, None)), 26, "truncated"),
        (lambda rows: rows.append(rows[29] | {"number": 31}), 31, "inserted"),
    ],
)
def test_the_first_bad_row_is_named_and_the_command_fails(
    isthmus: Run, server: Script, spoil: Any, row: int, wrong: str
) -> None:
    rows, seals = a_log(30)
    head = rows[29]["hash"]
    spoil(rows)
    rows_at_30 = rows + [{"hash": head}] * 5
    serve(server, rows_at_30[:30] if len(rows) < 30 else rows, seals, 30, 30)
    server.on(f"GET /api/v1/audit?after=0&limit={PAGE}", {"items": rows, "next": None})
    done = isthmus("audit", "verify")
    assert done.code == 1
    assert f"row {row} is bad: {wrong}: " in done.out
    assert isthmus("audit", "verify", "--json").json["fault"]["row"] == row


def test_what_remotes_hold_is_compared_and_a_strange_head_fails(isthmus: Run, server: Script) -> None:
    rows, seals = a_log(30)
    serve(server, rows, seals, 30, 30)
    honest = {"domain": "b.example", "heads": 3, "contradicting": [], "problem": ""}
    silent = {"domain": "c.example", "heads": 0, "contradicting": [], "problem": "upstream_unavailable"}
    server.on("POST /api/v1/audit/witnesses/ask", [honest, silent])
    done = isthmus("audit", "verify", "--witness")
    assert done.code == 0
    assert "b.example: holds 3 heads of this log, 0 of which it does not contain" in done.out
    assert "c.example: could not be asked: upstream_unavailable" in done.out
    head = {"number": 40, "hash": "ab" * 32, "at": "2026-03-02T12:00:00Z", "key_id": encoded(b"k" * 32)}
    server.on("POST /api/v1/audit/witnesses/ask", [honest | {"contradicting": [head]}])
    done = isthmus("audit", "verify", "--witness")
    assert done.code == 1
    assert f"holds row 40 of 2026-03-02T12:00:00Z as {'ab' * 32}, which this log does not have" in done.out


def test_an_export_verifies_without_a_server_and_a_changed_one_does_not(
    isthmus: Run, server: Script, tmp_path: Path
) -> None:
    rows, seals = a_log(30)
    serve(server, rows, seals, 30, 30)
    lines = isthmus("audit", "export").out.splitlines()
    assert len(lines) == 34
    assert json.loads(lines[0])["chain"]["domain"] == "a.example"
    file = tmp_path / "audit.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert isthmus("audit", "verify", "--file", str(file)).code == 0
    file.write_text("\n".join(lines).replace('"subject":"5"', '"subject":"6"'), encoding="utf-8")
    done = isthmus("audit", "verify", "--file", str(file))
    assert done.code == 1
    assert "row 5 is bad: changed" in done.out
    for spoilt in ("nonsense", '{"number": 1}', "[]", "\n".join(lines[1:])):
        file.write_text(spoilt, encoding="utf-8")
        done = isthmus("audit", "verify", "--file", str(file))
        assert (done.code, done.out) == (1, "")
        assert "export" in done.err
    assert isthmus("audit", "verify", "--file", str(tmp_path / "none")).code == 1
    assert isthmus("audit", "verify", "--file", str(file), "--witness").code == 1


def test_filters_reach_the_server_and_pages_are_joined(isthmus: Run, server: Script) -> None:
    rows, _ = a_log(5)
    filters = {"action": "remote.*", "outcome": "denied", "since": "2026-03-02T12:00:00Z"}
    query = urlencode(filters)
    server.on(f"GET /api/v1/audit?limit=2&{query}", {"items": rows[4:], "next": "5"})
    server.on(f"GET /api/v1/audit?limit=1&before=5&{query}", {"items": [], "next": "3"})
    server.on(f"GET /api/v1/audit?limit=1&before=3&{query}", {"items": rows[1:2], "next": "2"})
    given = [text for name, value in filters.items() for text in (f"--{name}", value)]
    shown = isthmus("audit", "list", "--limit", "2", *given, "--json").json
    assert ([row["number"] for row in shown["items"]], shown["next"]) == ([5, 2], "2")
    server.on(f"GET /api/v1/audit?{query}&after=0&limit={PAGE}", {"items": rows[:2], "next": None})
    lines = isthmus("audit", "export", *given).out.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
