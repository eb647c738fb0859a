"""Files of many peers, and the commands for many peers, against a server that answers as told."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from isthmus.cli.bulk_files import COLUMNS, Action, Format, read, row_of, written
from isthmus.cli.errors import Failure, Misuse
from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, PEER_ID, a_network, a_peer, a_problem, page

GUIDE = (Path(__file__).parents[2] / "docs/guides/bulk.md").read_text(encoding="utf-8")
NAMED = "GET /api/v1/networks?name=office&limit=500"
BULK = f"POST /api/v1/networks/{NETWORK_ID}/peers/bulk"
TOKEN = {"token": "isthmus-enroll-x", "expires_at": "2026-11-24T20:00:00Z"}


def done(result: str = "created", **changes: Any) -> Any:
    peer = {"id": PEER_ID, "name": "laptop", "kind": "dynamic", "addresses": ["10.20.0.2"]}
    return {"result": result, "peer": peer, "enrollment": None, "config": None} | changes


def answer(*rows: Any, dry_run: bool = False) -> Any:
    return {"dry_run": dry_run, "rows": list(rows)}


def test_the_guides_examples_can_be_read_and_its_table_names_every_column() -> None:
    found = {kind: re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL) for kind in ("csv", "json")}
    (table,), (array,) = found["csv"], found["json"]
    assert read(table, Format.CSV).bodies[1] == {
        "action": "create",
        "name": "laptop-1",
        "groups": ["staff", "berlin"],
        "labels": {"site": "berlin", "floor": "3"},
    }
    assert [body["action"] for body in read(array, Format.JSON).bodies] == ["create", "update", "delete"]
    named = {
        name
        for line in re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE)
        for name in re.findall("`([a-z_0-9]+)`", line)
    }
    assert named == set(COLUMNS)


def test_cells_become_what_the_api_takes() -> None:
    header = "action,name,isolated,force,additional_allowed_ips,owner,groups,labels,token_lifetime,version\n"
    rows = 'update,a,yes,No,10.1.0.0/24; 10.2.0.0/24,-,-,"a=1;b= x, y ",90,3\n\n ,b,,,,,,,,\n'
    asked = read("\N{BYTE ORDER MARK}" + header + rows, Format.CSV)
    assert asked.places == ["line 2", "line 4"]
    assert asked.bodies == [
        {
            "action": "update",
            "name": "a",
            "isolated": True,
            "force": False,
            "additional_allowed_ips": ["10.1.0.0/24", "10.2.0.0/24"],
            "owner": None,
            "groups": [],
            "labels": {"a": "1", "b": "x, y"},
            "token_lifetime": 90,
            "version": 3,
        },
        {"action": "create", "name": "b"},
    ]


UNREADABLE = {
    "a column that is none": ("name,colour\nx,red\n", "'colour' is not a column"),
    "a column twice": ("name,name\nx,y\n", "twice"),
    "no name": ("kind\nstatic\n", "no column `name`"),
    "nothing": ("", "no column `name`"),
    "no rows": ("name\n", "no rows"),
    "a cell too many": ("name\nx,y\n", "line 2 has more cells"),
    "a flag that is none": ("name,isolated\nx,maybe\n", "line 2: isolated is neither"),
    "a number that is none": ("name,version\nx,-1\n", "line 2: version is not"),
    "a label without a value": ("name,labels\nx,site\n", "line 2: labels is not"),
    "an open quote": ('name\n"x\n', "is not CSV"),
    "too many rows": ("name\n" + "x\n" * 1001, "1001 rows"),
}


@pytest.mark.parametrize(("text", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_csv_that_cannot_be_read_says_where(text: str, said: str) -> None:
    with pytest.raises(Misuse, match=re.escape(said)):
        read(text, Format.CSV)


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", "[" * 100_000])
def test_a_json_that_is_no_array_of_objects_is_refused(text: str) -> None:
    with pytest.raises(Misuse):
        read(text, Format.JSON)


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("action", list(Action))
def test_what_is_exported_is_what_import_reads(kind: Format, action: Action) -> None:
    fields = {"groups": ["a", "b"], "labels": {"site": "Berlin, 3"}, "additional_allowed_ips": ["10.9.0.0/24"]}
    peers = [a_peer(**fields), a_peer(name="phone", kind="static", isolated=True, owner="ada")]
    rows = [row_of(peer, action, addresses=True) for peer in peers]
    asked = read(written(rows, kind), kind)
    for body, row in zip(asked.bodies, rows, strict=True):
        assert body == {name: row[name] for name in body}
        # What a new peer does not have goes without saying; a present one loses it.
        assert not any(row[name] for name in row.keys() - body.keys())
        assert action is Action.CREATE or body == row
    assert "public_key" not in asked.bodies[0]


def test_a_value_without_a_place_in_a_csv_is_not_bent() -> None:
    for owner in ("a;b", "-", " x"):
        labels = {"site": owner} if owner == "a;b" else {}
        row = row_of(a_peer(owner=owner if owner != "a;b" else None, labels=labels), Action.UPDATE, addresses=False)
        with pytest.raises(Failure, match="has no place in a CSV"):
            written([row], Format.CSV)


def test_import_sends_one_bulk_and_prints_what_is_shown_once(isthmus: Run, server: Script, tmp_path: Path) -> None:
    file = tmp_path / "peers.csv"
    file.write_text("name\nlaptop\n", encoding="utf-8")
    server.on(NAMED, page(a_network()))
    server.on(BULK, answer(done(enrollment=TOKEN)))
    ran = isthmus("peer", "import", str(file), "--network", "office")
    assert ran.code == 0
    assert server.bodies_of("POST") == [{"operations": [{"action": "create", "name": "laptop"}], "dry_run": False}]
    assert "isthmus-enroll-x" in ran.out.splitlines()
    assert "Done: 1 created." in ran.out
    target = tmp_path / "secrets.json"
    ran = isthmus("peer", "import", str(file), "--network", "office", "--output", str(target))
    assert "isthmus-enroll-x" not in ran.out + ran.err
    assert f"of 1 new peers are in {target}" in ran.err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert json.loads(target.read_text(encoding="utf-8"))[0]["enrollment"]["token"] == "isthmus-enroll-x"
    server.on(BULK, answer(done(), dry_run=True))
    dry = isthmus("peer", "import", str(file), "--network", "office", "--dry-run")
    assert "This would happen: 1 created. Nothing was changed." in dry.out
    assert dry.out.startswith("WOULD BE  NAME")
    assert server.bodies_of("POST")[-1]["dry_run"] is True


def test_refused_rows_are_told_by_their_lines(isthmus: Run, server: Script, tmp_path: Path) -> None:
    file = tmp_path / "peers.csv"
    file.write_text("name,kind\nlaptop,\n\ngw,jump\n", encoding="utf-8")
    server.on(NAMED, page(a_network()))
    errors = [
        {"pointer": "/operations/1/endpoint", "code": "validation_failed", "detail": "is needed for a jump peer"},
        {"pointer": "/operations/0", "code": "not_found", "detail": "there is no peer laptop"},
    ]
    server.on(BULK, a_problem(title="Bulk refused", errors=errors), status=422)
    ran = isthmus("peer", "import", str(file), "--network", "office")
    assert (ran.code, ran.out) == (1, "")
    assert "  line 4, endpoint: is needed for a jump peer" in ran.err
    assert "  line 2: there is no peer laptop" in ran.err


@pytest.mark.parametrize("name", ["peers.txt", "missing.csv", "peers.csv"])
def test_a_file_that_cannot_be_read_is_misuse(isthmus: Run, server: Script, tmp_path: Path, name: str) -> None:
    (tmp_path / "peers.csv").write_bytes(b"name\n\xff\n")
    (tmp_path / "peers.txt").write_text("name\nx\n")
    assert isthmus("peer", "import", str(tmp_path / name), "--network", "office").code == 2
    assert server.asked == []


FOUND = f"GET /api/v1/peers?network={NETWORK_ID}&group=staff&label=site%3Dberlin&limit=500"


def test_many_are_changed_by_filters_each_at_the_version_that_was_seen(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    server.on(FOUND, page(a_peer(version=3, groups=["staff"], labels={"site": "berlin"})))
    server.on(BULK, answer(done("updated")))
    filters = ("--network", "office", "--group", "staff", "--label", "site=berlin")
    changes = (
        "--isolated",
        "--owner",
        "",
        "--set-label",
        "site=bonn",
        "--add-group",
        "bonn",
        "--remove-group",
        "staff",
    )
    ran = isthmus("peer", "update-many", *filters, *changes)
    assert ran.code == 0, ran.err
    assert server.bodies_of("POST")[0]["operations"] == [
        {
            "action": "update",
            "name": "laptop",
            "version": 3,
            "isolated": True,
            "owner": None,
            "labels": {"site": "bonn"},
            "groups": ["bonn"],
        }
    ]
    server.on(BULK, answer(done("deleted")))
    assert isthmus("peer", "delete-many", *filters, "--yes").code == 0
    assert server.bodies_of("POST")[1]["operations"] == [
        {"action": "delete", "name": "laptop", "version": 3, "force": False}
    ]


def test_many_without_a_filter_takes_all(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    assert isthmus("peer", "delete-many", "--network", "office").code == 2
    assert isthmus("peer", "delete-many", "--network", "office", "--group", "a", "--all").code == 2
    assert isthmus("peer", "update-many", "--network", "office", "--all").code == 2
    server.on(f"GET /api/v1/peers?network={NETWORK_ID}&limit=500", page())
    assert isthmus("peer", "delete-many", "--network", "office", "--all").code == 1
    jump = a_peer(version=1, kind="jump", name="gw")
    server.on(f"GET /api/v1/peers?network={NETWORK_ID}&limit=500", page(jump, a_peer(version=2)))
    server.on(BULK, answer(done("deleted")))
    assert isthmus("peer", "delete-many", "--network", "office", "--all").code == 0
    assert [each["name"] for each in server.bodies_of("POST")[0]["operations"]] == ["laptop", "gw"]


def test_settings_of_templates_read_as_they_are_given(isthmus: Run, server: Script) -> None:
    settings = {"key_max_age": 2_592_000, "dns_upstreams": ["9.9.9.9"], "limits": {"address_changes": 20}}
    server.on(
        "GET /api/v1/network-templates?limit=500",
        page({"id": NETWORK_ID, "name": "branch", "settings": settings, "created_at": "2026-11-23T20:00:00Z"}),
    )
    line = "branch  key_max_age=30d, dns_upstreams=9.9.9.9, limits (address_changes=20)"
    assert isthmus("template", "list").out.splitlines()[1] == line


def test_groups_templates_and_the_history_are_shown(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_network()))
    network = {"id": NETWORK_ID, "name": "office"}
    server.on(
        f"GET /api/v1/groups?network={NETWORK_ID}&limit=500", page({"network": network, "name": "staff", "peers": 3})
    )
    assert isthmus("group", "list", "--network", "office").out.splitlines()[1].split() == ["office", "staff", "3"]
    path = f"/api/v1/peers/{PEER_ID}/config-revisions"
    change = {"at": "2026-11-23T20:00:00Z", "event": "peer.changed", "subject": "gw"}
    first, second = {"revision": 9} | change, {"revision": 7} | change
    server.on(f"GET {path}?limit=20", {"items": [first], "next": "8", "begins": 2})
    server.on(f"GET {path}?limit=19&before=8", {"items": [second], "next": None, "begins": 2})
    shown = isthmus("peer", "config-history", PEER_ID).out
    assert [line.split()[0] for line in shown.splitlines()[1:3]] == ["9", "7"]
    assert "begins at revision 2" in shown
    server.on(f"GET {path}/7", {"revision": 7, "text": "[Interface]\nMTU = 1420\n"})
    assert isthmus("peer", "config-at", PEER_ID, "7").out == "[Interface]\nMTU = 1420\n"
    server.on(f"GET {path}/7/diff?to=9", {"start": 7, "to": 9, "diff": "-a\n+b\n", "causes": [first]})
    told = isthmus("peer", "config-diff", PEER_ID, "7", "9").out
    assert told.splitlines()[1].split()[0] == "9"
    assert "peer.changed" in told
    assert told.endswith("\n\n-a\n+b\n")
    server.on(f"GET {path}/7/diff", {"start": 7, "to": 9, "diff": "", "causes": []})
    assert "nothing changed" in isthmus("peer", "config-diff", PEER_ID, "7").out
    assert isthmus("peer", "config-diff", PEER_ID, "9", "7").code == 2
