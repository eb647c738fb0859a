"""Small volumes for database, log and certificates, in a namespace of the server's own, that fill up and are freed."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from lab.waiting import listens, wait_until
from tests.server import API, COMMAND, clean_environment, free_port

WITHIN = 30.0
BACK_SECONDS = 5.0
VOLUMES = {"database": "12m", "data": "4m", "log": "256k"}
FEDERATION = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
LINES = 60
"""More than fit into what is left of the last page of the log."""
# In a mount namespace nobody else sees these volumes, and they go with the process.
SCRIPT = """
for each in $VOLUMES; do mkdir -p "$0/${each%=*}" && mount -t tmpfs -o "size=${each#*=}" tmpfs "$0/${each%=*}"; done
exec "$@" >"$0/log/output" 2>"$0/log/log"
"""


@dataclass
class Cramped:
    """A server whose volumes are `VOLUMES`, and its process's own view of them."""

    folder: Path
    process: subprocess.Popen[bytes]
    api: httpx2.Client

    def volume(self, name: str) -> Path:
        return Path(f"/proc/{self.process.pid}/root{self.folder}/{name}")

    @contextmanager
    def full(self, name: str) -> Iterator[None]:
        """While the block runs there is not one byte left on a volume."""
        filler = self.volume(name) / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()

    def log(self) -> str:
        return (self.volume("log") / "log").read_text()

    def rows(self, action: str) -> int:
        """How many rows of an action the audit log has."""
        items = self.api.get("/audit", params={"limit": 200, "action": action}).raise_for_status().json()["items"]
        return len(items)


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Cramped]:
    settings = {
        "data_dir": str(tmp_path / "data"),
        "database_url": f"sqlite:///{tmp_path / 'database' / 'isthmus.db'}",
        "listen": f"127.0.0.1:{free_port()}",
        "history_revisions": "5000",
    }
    server = ["setpriv", "--pdeathsig", "KILL", str(COMMAND), "server"]
    volumes = " ".join(f"{name}={size}" for name, size in VOLUMES.items())
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", SCRIPT, str(tmp_path), *server],
        env=clean_environment(settings) | {"VOLUMES": volumes},
        stdin=subprocess.DEVNULL,
    )
    path = Path(f"/proc/{process.pid}/root{tmp_path}/data/server.sock")
    api = httpx2.Client(base_url=f"http://local{API}", transport=httpx2.HTTPTransport(uds=str(path)), timeout=WITHIN)
    try:
        wait_until(lambda: listens(path), within=WITHIN, what="the server")
        # It listens before it has begun.
        api.get("/health/ready").raise_for_status()
        yield Cramped(tmp_path, process, api)
    finally:
        api.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WITHIN)
        finally:
            process.kill()


def is_put_off(answer: httpx2.Response) -> bool:
    """Whether it is refused as a full disk must be; anything else than that and success fails the test."""
    if answer.is_success:
        return False
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    return True


@pytest.mark.case("FAULT-009")
def test_a_full_volume_of_the_database_stops_changes_and_loses_none(cramped: Cramped) -> None:
    api = cramped.api
    made = [f"before-{number}" for number in range(3)]
    for name in made:
        api.post("/networks", json={"name": name}).raise_for_status()
    with cramped.full("database"):
        put_off = 0
        for number in range(40):
            answer = api.post("/networks", json={"name": f"meanwhile-{number}"})
            if is_put_off(answer):
                put_off += 1
            else:
                made.append(f"meanwhile-{number}")
        assert put_off > 20
        # What is there is read as before.
        assert {each["name"] for each in api.get("/networks", params={"limit": 200}).json()["items"]} == set(made)
        assert api.get("/health/live").is_success
    freed = time.monotonic()
    wait_until(lambda: api.post("/networks", json={"name": "after"}).is_success, within=WITHIN, what="service")
    assert time.monotonic() - freed < BACK_SECONDS
    made.append("after")
    # Each change that was acknowledged is there and has its row, and no row is of another.
    assert {each["name"] for each in api.get("/networks", params={"limit": 200}).json()["items"]} == set(made)
    assert cramped.rows("network.create") == len(made)
    verified = subprocess.run(
        [COMMAND, "audit", "verify"],
        env=clean_environment({}) | {"ISTHMUS_SOCKET": str(cramped.volume("data") / "server.sock")},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr


@pytest.mark.case("FAULT-009")
def test_a_full_volume_of_the_log_stops_nothing(cramped: Cramped) -> None:
    api = cramped.api

    def says_something() -> None:
        assert is_put_off(api.post("/federation/init", json=FEDERATION))

    with cramped.full("data"):
        with cramped.full("log"):
            for number in range(LINES):
                says_something()
                assert api.post("/networks", json={"name": f"network-{number}"}).is_success
            lines = cramped.log().count("no room for certificates")
            assert lines < LINES
        says_something()
    wait_until(lambda: "lines of the log could not be written" in cramped.log(), within=WITHIN, what="the log to go on")
    assert cramped.log().count("no room for certificates") > lines
    assert cramped.rows("network.create") == LINES


@pytest.mark.case("FAULT-009")
def test_a_full_volume_of_the_certificates_stops_their_changes_and_spoils_none(cramped: Cramped) -> None:
    api, body = cramped.api, FEDERATION
    with cramped.full("data"):
        assert is_put_off(api.post("/federation/init", json=body))
        assert api.get("/federation").status_code == 404
        # Nothing else needs that volume.
        api.post("/networks", json={"name": "office"}).raise_for_status()
    api.post("/federation/init", json=body).raise_for_status()
    pair = cramped.volume("data") / "federation" / "federator" / "current"
    before = (pair / "chain.pem").read_bytes()
    with cramped.full("data"):
        assert is_put_off(api.post("/certificates/renew", json={}))
        assert (pair / "chain.pem").read_bytes() == before
    assert api.post("/certificates/renew", json={}).is_success
    assert (pair / "chain.pem").read_bytes() != before
