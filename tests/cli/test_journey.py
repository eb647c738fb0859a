"""The commands against a real server, by its socket and by its URL, each in a process of its own."""

import json
import os
import re
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 40
COMMAND = (sys.executable, "-c", "from isthmus.cli.main import run; run()")

# One server for all of them, whichever way the tests are spread.


@dataclass(frozen=True)
class Running:
    """A server, and a user on its machine."""

    url: str
    password: str
    folder: Path
    command: tuple[str, ...] = COMMAND

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
        environment |= {"ISTHMUS_DATA_DIR": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def done(self, *arguments: str) -> str:
        ran = self.run(*arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("backend")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
    # Port 0 would not tell which one it got: take one, give it back, and let the server have it.
    port = free_port()
    arguments = ["server", "--data-dir", str(folder), "--listen", f"127.0.0.1:{port}"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            greeting = read_until(process, b"Ctrl-C")
            found = re.search(r"password +(\S+)", greeting)
            assert found, greeting
            wait_for(folder / "server.sock")
            yield Running(f"http://127.0.0.1:{port}", found[1], folder)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def read_until(process: subprocess.Popen[bytes], end: bytes) -> str:
    assert process.stdout
    seen, deadline = b"", time.monotonic() + START_SECONDS
    while end not in seen:
        readable, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if readable else b""
        assert chunk, f"the server did not start: {seen.decode()}"
        seen += chunk
    return seen.decode()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_a_network_is_made_shown_changed_and_deleted(backend: Running) -> None:
    made = backend.done("network", "create", "life", "--cidr", "10.21.0.0/24")
    shown = backend.json("network", "show", "life")
    for value in (shown["id"], "10.21.0.0/24", shown["cidr_v6"], "254"):
        assert value in made.split()
    assert shown["cidr_v6"].startswith("fd")
    assert shown["cidr_v6"].endswith("::/64")
    assert backend.json("network", "update", "life", "--mtu", "1380")["mtu"] == 1380
    backend.done("network", "reserve", "life", "10.21.0.1", "--note", "printer")
    assert backend.json("network", "reservations", "life")["items"] == [{"address": "10.21.0.1", "note": "printer"}]
    assert backend.json("network", "capacity", "life")["v4"]["reserved"] == 1
    backend.done("network", "unreserve", "life", "10.21.0.1")
    backend.done("network", "delete", shown["id"])
    assert backend.run("network", "show", "life").returncode == 1


def test_host_bits_are_refused_with_the_corrected_cidr(backend: Running) -> None:
    ran = backend.run("network", "create", "bits", "--cidr", "10.20.0.5/24")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "10.20.0.0/24" in ran.stderr
    assert re.search(r"request id: [0-9a-f-]{36}", ran.stderr)


def test_peers_get_tokens_or_a_config_and_are_listed(backend: Running, tmp_path: Path) -> None:
    backend.done("network", "create", "office", "--cidr", "10.20.0.0/24")
    jump = ("--kind", "jump", "--endpoint", "198.51.100.7:51820")
    made = backend.done("peer", "create", "gw", "--network", "office", *jump)
    assert [line for line in made.splitlines() if re.fullmatch(r"isthmus-enroll-\S{43}", line)]
    backend.done("peer", "create", "laptop", "--network", "office", "--label", "site=berlin")
    file = tmp_path / "phone.conf"
    backend.done("peer", "create", "phone", "--network", "office", "--kind", "static", "--output", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text(encoding="utf-8").startswith("[Interface]\nPrivateKey = ")

    listed = backend.done("peer", "list", "--network", "office").splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "gw", "laptop", "phone"]
    assert listed[1].split()[1:4] == ["jump", "10.20.0.1", "198.51.100.7:51820"]
    assert max(map(len, listed)) <= 80

    change = ("--isolated", "--label", "site=", "--owner", "ops")
    changed = backend.json("peer", "update", "laptop", *change)
    assert (changed["isolated"], changed["labels"], changed["owner"]) == (True, {}, "ops")
    assert backend.json("peer", "update", "laptop", "--owner", "")["owner"] is None
    assert backend.run("peer", "config", "phone").returncode == 1
    assert "PrivateKey" in backend.done("peer", "regenerate", "phone")
    assert backend.json("peer", "token", "laptop", "--lifetime", "1h")["token"].startswith("isthmus-enroll-")
    assert backend.run("peer", "delete", "gw").returncode == 1
    backend.done("peer", "delete", "gw", "--force")


def test_an_operator_elsewhere_signs_in_and_out(backend: Running, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path), "ISTHMUS_DATA_DIR": str(tmp_path)}
    login = ("login", "--server", backend.url, "--username", "admin", "--password-file", "-")
    wrong = backend.run(*login, stdin="wrong-password-1", **home)
    assert wrong.returncode == 1
    assert "wrong-password-1" not in wrong.stderr
    assert backend.run(*login, stdin=backend.password, **home).returncode == 0
    assert "user:admin" in backend.run("whoami", **home).stdout
    assert backend.run("logout", **home).returncode == 0
    assert backend.run("network", "list", **home).returncode == 3
    assert backend.run("network", "list", "--server", backend.url, **home).returncode == 1


def test_an_api_token_works_from_the_environment_until_it_is_revoked(backend: Running, tmp_path: Path) -> None:
    token = backend.json("token", "create", "ci", "--scope", "read", "--lifetime", "1h")["token"]
    script = {"ISTHMUS_SERVER": backend.url, "ISTHMUS_TOKEN": token, "XDG_CONFIG_HOME": str(tmp_path)}
    assert backend.run("network", "list", **script).returncode == 0
    assert backend.run("network", "create", "x", **script).returncode == 1
    backend.done("token", "delete", "ci")
    assert backend.run("network", "list", **script).returncode == 1


def test_every_change_made_by_command_is_in_the_audit_log(backend: Running) -> None:
    backend.done("network", "create", "audited")
    backend.done("network", "delete", "audited")
    latest = backend.json("audit", "list", "--limit", "2")["items"]
    assert [(entry["action"], entry["actor"], entry["outcome"]) for entry in latest] == [
        ("network.delete", "local", "done"),
        ("network.create", "local", "done"),
    ]


@pytest.mark.case("OPS-006")
def test_a_burst_of_rows_is_linked_and_what_is_changed_behind_the_log_is_named(backend: Running) -> None:
    backend.done("federation", "init", "--domain", "a.example", "--infra", "infra.a.example")
    write = "INSERT INTO audit_log VALUES (?, 1700000000000000, 'local', 'burst', ?, 'done', 'r', NULL, '{}')"
    with closing(sqlite3.connect(backend.folder / "isthmus.db", timeout=30)) as database:
        with database:
            first = (
                database.execute("UPDATE backend SET audited = audited + 10000 RETURNING audited").fetchone()[0] - 9999
            )
            database.executemany(write, [(number, str(number)) for number in range(first, first + 10_000)])

        def verified() -> Any:
            ran = backend.run("audit", "verify", "--json")
            return json.loads(ran.stdout) | {"code": ran.returncode}

        deadline = time.monotonic() + 60
        while (found := verified())["unlinked"] and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (found["code"], found["ok"], found["unlinked"], found["fault"]) == (0, True, 0, None)
        assert found["rows"] >= 10_000
        assert found["seals"] >= 10_000 // 256
        last = first + 9_999
        for statement, undo, row, wrong in (
            (
                "UPDATE audit_log SET subject = 'x' WHERE number = ?",
                "UPDATE audit_log SET subject = number WHERE number = ?",
                first + 5_000,
                "changed",
            ),
            ("DELETE FROM audit_log WHERE number = ?", write.replace("?", "?1"), first + 7_000, "missing"),
        ):
            with database:
                database.execute(statement, (row,))
            found = verified()
            assert (found["code"], found["fault"]["row"], found["fault"]["wrong"]) == (1, row, wrong)
            with database:
                database.execute(undo, (row,))
            assert verified()["code"] == 0
        with database:
            database.execute("DELETE FROM audit_log WHERE number > ?", (last - 10,))
        assert verified()["fault"]["wrong"] == "truncated"
        with database:
            database.executemany(write, [(number, str(number)) for number in range(last - 9, last + 1)])
    assert verified()["code"] == 0


def test_the_guide_to_many_peers_does_what_it_says(backend: Running, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/bulk.md").read_text(encoding="utf-8")
    table, array = tmp_path / "peers.csv", tmp_path / "peers.json"
    table.write_text(re.findall(r"```csv\n(.*?)```", guide, re.DOTALL)[0], encoding="utf-8")
    array.write_text(re.findall(r"```json\n(.*?)```", guide, re.DOTALL)[0], encoding="utf-8")
    backend.done("template", "create", "site", "--cidr-prefix", "24", "--cidr-pool", "10.90.0.0/16", "--mtu", "1380")
    network = backend.json("network", "create", "guide", "--template", "site")
    assert (network["cidr_v4"], network["mtu"]) == ("10.90.0.0/24", 1380)
    here = ("--network", "guide")
    assert "4 created. Nothing was changed." in backend.done("peer", "import", str(table), *here, "--dry-run")
    assert backend.json("peer", "list", *here)["items"] == []
    secrets = tmp_path / "secrets.json"
    made = backend.done("peer", "import", str(table), *here, "--output", str(secrets))
    assert "isthmus-enroll" not in made
    assert secrets.read_text(encoding="utf-8").count("isthmus-enroll-") == 3
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    backend.done("peer", "import", str(array), *here)
    assert [peer["name"] for peer in backend.json("peer", "list", *here, "--group", "staff")["items"]] == [
        "laptop-9",
        "phone",
        "laptop-3",
    ]
    refused = backend.run("peer", "import", str(array), *here)
    assert (refused.returncode, "row 1, name: is the name of another peer" in refused.stderr) == (1, True)

    backend.done("network", "create", "copy")
    table.write_text(backend.done("peer", "export", *here), encoding="utf-8")
    backend.done("peer", "delete-many", *here, "--kind", "static")
    backend.done("peer", "import", str(table), "--network", "copy")
    kept = ("name", "kind", "groups", "labels", "owner", "endpoint")
    copies = [
        {name: peer[name] for name in kept} for peer in backend.json("peer", "list", "--network", "copy")["items"]
    ]
    assert [peer["name"] for peer in copies] == ["gw", "laptop-9", "phone", "laptop-3"]
    assert copies[0]["endpoint"] == "198.51.100.7:51820"
    assert copies[1]["labels"] == {"site": "berlin", "floor": "3"}

    backend.done("peer", "update-many", *here, "--group", "staff", "--isolated", "--add-group", "quiet")
    assert [line.split() for line in backend.done("group", "list", *here).splitlines()[1:]] == [
        ["guide", "berlin", "1"],
        ["guide", "quiet", "2"],
        ["guide", "staff", "2"],
    ]
    history = backend.json("peer", "config-history", "laptop-9", *here)["items"]
    assert [item["event"] for item in history] == ["peer.changed", "peer.created"]
    assert "MTU = 1380" in backend.done("peer", "config-at", "laptop-9", str(history[0]["revision"]), *here)
    assert "+# laptop-9" in backend.done("peer", "config-diff", "laptop-9", str(history[1]["revision"]), *here)


def test_more_rows_than_a_page_are_all_listed(backend: Running) -> None:
    backend.done("network", "create", "many", "--cidr", "10.40.0.0/24")
    for number in range(5):
        backend.done("peer", "create", f"p{number}", "--network", "many")
    small = "from isthmus.cli import client, main; client.PAGE = 2; main.run()"
    paging = replace(backend, command=(sys.executable, "-c", small))
    names = [peer["name"] for peer in paging.json("peer", "list", "--network", "many")["items"]]
    assert names == [f"p{number}" for number in range(5)]


def test_a_busy_port_and_an_unknown_setting_are_one_sentence(backend: Running, tmp_path: Path) -> None:
    other = ("server", "--data-dir", str(tmp_path))
    busy = backend.run(*other, "--listen", backend.url.removeprefix("http://"))
    assert busy.returncode == 1
    assert len(busy.stderr.strip().splitlines()) == 1
    settings = tmp_path / "settings.toml"
    settings.write_text("listne = '127.0.0.1:1'", encoding="utf-8")
    unknown = backend.run(*other, "--config", str(settings))
    assert unknown.returncode == 1
    assert "listne" in unknown.stderr


@pytest.mark.case("SEED-112")
def test_a_group_selects_its_members_of_that_moment_and_nobody_once_it_is_gone(backend: Running) -> None:
    backend.done("network", "create", "crowd", "--cidr", "10.41.0.0/24")
    backend.done("network", "create", "aside", "--cidr", "10.42.0.0/24")
    for name, groups in (("a", ["staff"]), ("b", ["staff", "berlin"]), ("c", ["berlin"]), ("d", [])):
        named = [word for group in groups for word in ("--group", group)]
        backend.done("peer", "create", f"crowd-{name}", "--network", "crowd", *named)
    backend.done("peer", "create", "aside-a", "--network", "aside", "--group", "staff")
    many = ("peer", "update-many", "--network", "crowd")

    def peers() -> dict[str, Any]:
        found = backend.json("peer", "list")["items"]
        return {peer["name"]: peer for peer in found if peer["name"].startswith(("crowd-", "aside-"))}

    def members(group: str) -> list[str]:
        return [peer["name"] for peer in backend.json("peer", "list", "--network", "crowd", "--group", group)["items"]]

    def touched(*arguments: str) -> set[str]:
        """Whose version or being is another one after the command."""
        before = peers()
        backend.done(*arguments)
        after = peers()
        return {name for name in before if name not in after or after[name]["version"] != before[name]["version"]}

    assert (members("staff"), members("berlin")) == (["crowd-a", "crowd-b"], ["crowd-b", "crowd-c"])
    assert touched(*many, "--group", "staff", "--isolated", "--yes") == {"crowd-a", "crowd-b"}
    backend.done("peer", "update", "crowd-d", "--group", "staff")
    backend.done("peer", "update", "crowd-a", "--group", "others")
    assert members("staff") == ["crowd-b", "crowd-d"]
    assert touched(*many, "--group", "staff", "--owner", "zoe", "--yes") == {"crowd-b", "crowd-d"}
    assert touched("peer", "delete-many", "--network", "crowd", "--group", "others", "--yes") == {"crowd-a"}

    # A group that nobody is in any more is gone, and its members are as they were but for it.
    before = peers()
    assert touched(*many, "--group", "staff", "--remove-group", "staff", "--yes") == {"crowd-b", "crowd-d"}
    after = peers()
    assert [group["name"] for group in backend.json("group", "list", "--network", "crowd")["items"]] == ["berlin"]
    changed = {"groups", "version", "desired_revision"}
    assert after.keys() == before.keys()
    for name, peer in after.items():
        assert {key for key in peer if peer[key] != before[name][key]} <= changed
        assert "staff" not in peer["groups"] or name == "aside-a"
    assert members("staff") == []
    for group in ("staff", ""):
        for command in ([*many, "--isolated"], ["peer", "delete-many", "--network", "crowd"]):
            for more in ([], ["--kind", "dynamic"]):
                ran = backend.run(*command, "--group", group, *more, "--yes")
                assert ran.returncode != 0, ran.stdout
    assert backend.run(*many, "--group", "", "--all", "--isolated", "--yes").returncode == 2
    assert peers() == after
    assert members("berlin") == ["crowd-b", "crowd-c"]
