"""`isthmus ingress` at the command line: what it writes, what it says, how it ends."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from isthmus.ingress import nginx
from tests.ingress.conftest import secret
from tests.ingress.running import Ingress, an_ingress


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[Ingress]:
    with an_ingress(tmp_path / "data") as found:
        yield found


def test_what_render_writes_passes_lint_and_is_for_the_owner_alone(ingress: Ingress, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    facts = str(ingress.facts_file)
    done = ingress.call("render", "nginx", "--facts", facts, "--out", str(folder))
    assert (done.returncode, "the lint is content" in done.stdout) == (0, True)
    assert secret("wan") in (folder / nginx.CONFIG).read_text()
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0] * 4
    assert ingress.lint(folder).returncode == 0


def test_a_weakened_file_is_named_by_lint(ingress: Ingress, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ingress.call("render", "nginx", "--facts", str(ingress.facts_file), "--out", str(folder))
    config = folder / nginx.CONFIG
    config.write_text(config.read_text().replace("ssl_session_tickets off", "ssl_session_tickets on"))
    found = ingress.lint(folder, "--json")
    assert found.returncode == 1
    assert "ssl_session_tickets is on, not off" in json.loads(found.stdout)["findings"][0]


@pytest.mark.parametrize("kind", ["nginx", "traefik"])
def test_without_a_folder_the_files_are_shown_and_the_secrets_are_not(ingress: Ingress, kind: str) -> None:
    done = ingress.call("render", kind, "--facts", str(ingress.facts_file))
    assert done.returncode == 0
    assert "isthmus-federator" in done.stdout or "isthmus_federator" in done.stdout
    assert secret("wan") not in done.stdout
    assert "the secrets of the listeners are left out" in done.stderr


def test_mistakes_are_told_with_what_to_do(ingress: Ingress, tmp_path: Path) -> None:
    unknown = ingress.call("render", "apache")
    assert (unknown.returncode, "use one of: nginx, traefik, kubernetes" in unknown.stderr) == (2, True)
    absent = ingress.call("render", "nginx", "--facts", str(tmp_path / "none.json"))
    assert (absent.returncode, "cannot be read" in absent.stderr) == (1, True)
    unreachable = ingress.call("render", "nginx")
    assert (unreachable.returncode, "start the server" in unreachable.stderr) == (3, True)
    nothing = ingress.lint(tmp_path)
    assert (nothing.returncode, "isthmus ingress render nginx --out" in nothing.stderr) == (1, True)


def test_apply_changes_what_runs_and_status_tells_of_it(ingress: Ingress) -> None:
    stopped = ingress.call("status")
    assert (stopped.returncode, "not running: isthmus ingress run" in stopped.stdout) == (1, True)
    ingress.start()
    before = ingress.wait_applied()
    running = ingress.call("status")
    assert running.returncode == 0, running.stdout
    assert before.version in running.stdout
    assert "127.0.0.2" in running.stdout
    other = ingress.world.folder / "other.json"
    fewer = msgspec.structs.replace(ingress.world.facts, listeners=ingress.world.facts.listeners[:1])
    other.write_bytes(msgspec.json.encode(fewer))
    done = ingress.call("apply", "--facts", str(other))
    assert (done.returncode, "nginx runs it" in done.stdout) == (0, True), done.stderr
    assert ingress.wait_other(before).version in done.stdout


def test_a_machine_without_nginx_is_told_what_to_install(ingress: Ingress, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.ingress import process
    from isthmus.ingress.refused import NginxFailed

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(process, "SBIN", "")
    with pytest.raises(NginxFailed, match="not installed") as refused:
        process.binary()
    assert refused.value.mend == "apt-get install nginx-light"
