"""Every process says which setting is wrong, where it stands and what to do; what the documentation shows starts."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import isthmus.agent.settings as of_agent
import isthmus.federator.settings as of_federator
from isthmus.agent.errors import InvalidSettings
from isthmus.federator.settings import SettingsRefused
from lab import Lab
from lab.certificates import Authority
from lab.mesh import token_in, write_private
from lab.waiting import wait_until

ISTHMUS = Path(sys.executable).with_name("isthmus")
DOCS = Path(__file__).parents[2] / "docs"
START_SECONDS = 60.0

# command, settings, and what the one message must say: key, and a word of the remedy
MISTAKES = [
    ("server", 'colour = "red"\n', "colour", "remove it, or use one of"),
    ("server", "listen = 8080\n", "listen", "mend it or remove it"),
    ("server", 'tls_certificate = "/etc/isthmus/server.crt"\n', "tls_key", "set both, or neither"),
    ("server", 'database_path = "x.db"\n', "database_path", "set database_url"),
    ("federator", 'log_levl = "info"\n', "log_levl", "did you mean log_level?"),
    ("federator", 'call_seconds = "soon"\n', "call_seconds", "mend it or remove it"),
    ("federator", 'certificate = "/x/chain.pem"\n', "certificate", "set both, or neither"),
    ("agent run", 'statedir = "/srv"\n', "statedir", "did you mean 'state_dir'?"),
    ("agent run", "allow_http = 1\n", "allow_http", "mend it or remove it"),
    ("agent run", 'state_dir = "/srv/x"\nruntime_dir = "/srv/x"\n', "runtime_dir", "set another one"),
]


@pytest.mark.case("OPS-001")
def test_a_mistake_in_the_settings_refuses_the_start_of_each_process(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
    environment |= {"ISTHMUS_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "500"}

    def start(number: int) -> "subprocess.CompletedProcess[str]":
        file = tmp_path / f"{number}.toml"
        file.write_text(MISTAKES[number][1])
        words = [str(ISTHMUS), *MISTAKES[number][0].split(), "--config", str(file)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(start, range(len(MISTAKES))))
    for number, ((command, text, key, remedy), done) in enumerate(zip(MISTAKES, ended, strict=True)):
        said = done.stderr.strip()
        assert done.returncode != 0, (command, text)
        assert len(said.splitlines()) == 1, said
        assert all(word in said for word in (f"{number}.toml", key, remedy)), (command, text, said)
        assert done.stdout == ""
    assert not (tmp_path / "data").exists()


@pytest.mark.case("OPS-001")
def test_a_setting_of_a_former_release_is_told_from_one_that_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("old_name = 1\n")
    monkeypatch.setitem(of_federator.RETIRED, "old_name", "set new_name instead")
    monkeypatch.setitem(of_agent.RETIRED, "old_name", "set new_name instead")
    words = rf"{re.escape(str(file))}.*no longer a setting: set new_name instead"
    with pytest.raises(SettingsRefused, match=words):
        of_federator.load(file, {}, {})
    with pytest.raises(InvalidSettings, match=words):
        of_agent.load(file, {})


def examples() -> dict[str, str]:
    """Files of settings in the documentation: path → text."""
    blocks = [
        block for page in DOCS.rglob("*.md") for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    return {found[1]: block for block in blocks if (found := re.match(r"# (/etc/isthmus/\S+\.toml)\n", block))}


@pytest.mark.case("OPS-001")
def test_the_shipped_examples_start() -> None:
    shipped = examples()
    assert {Path(each).stem for each in shipped} >= {"server", "federator", "agent"}
    with Lab() as lab:
        host = lab.host("example")
        for path, text in shipped.items():
            host.path(path).write_text(text)
        authority = Authority()
        certificate = authority.issue(host.ipv4)
        write_private(host.path("/etc/isthmus/server.key"), certificate.key)
        host.path("/etc/isthmus/server.crt").write_text(certificate.certificate)
        host.path("/etc/isthmus/ca.pem").write_text(authority.certificate)
        server = host.start(["isthmus", "server", "--config", "/etc/isthmus/server.toml"], name="server")
        server.wait_for("Isthmus is running at", within=START_SECONDS)
        host.run(["isthmus", "federation", "init", "--domain", "a.example", "--infra", "infra.a.example"])
        federator = host.start(["isthmus", "federator", "--config", "/etc/isthmus/federator.toml"], name="federator")
        federator.wait_for("the Federator runs", within=START_SECONDS)
        host.run(["isthmus", "network", "create", "office", "--cidr", "10.20.0.0/24"])
        token = token_in(host.run(["isthmus", "peer", "create", "gw", "--network", "office"]).stdout)
        trust = {"ISTHMUS_AGENT_CA_FILE": "/etc/isthmus/ca.pem"}
        file = ["--config", "/etc/isthmus/agent.toml"]
        server_at = f"https://{host.ipv4}:8443"
        host.run(
            ["isthmus", "agent", "enroll", "--server", server_at, "--token-file", "-", *file], input=token, env=trust
        )
        agent = host.start(["isthmus", "agent", "run", *file], name="agent", env=trust)

        def is_up() -> bool:
            return host.run(["isthmus", "agent", "status", "--json", *file], check=False).returncode == 0

        wait_until(is_up, within=START_SECONDS, what="the agent")
        assert server.running
        assert federator.running
        assert agent.running
        assert json.loads(host.run(["isthmus", "agent", "status", "--json", *file]).stdout)["interface"] == "ist-office"
