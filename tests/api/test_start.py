"""Starts: what stops one is said in one sentence, and what travels in clear is refused."""

import contextlib
import re
import socket
import ssl
import subprocess
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage

from isthmus.server.adapters.listeners import CannotListen, check_tls
from isthmus.server.main import run
from tests.server import API, free_port, refused_start, running


def check_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The start ended with one sentence that holds all these words."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("isthmus server: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def settings_of(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {"data_dir": str(tmp_path / "data"), "listen": f"127.0.0.1:{free_port()}"} | settings


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *names, "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return folder / "cert.pem", folder / "key.pem"


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        check_refused(refused_start(settings_of(tmp_path, listen=address)), address, "in use", "--listen")


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, listen="192.0.2.1:8080", plaintext="development")
    check_refused(refused_start(settings), "192.0.2.1:8080", "--listen")


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        settings = settings_of(tmp_path, data_dir=str(server.data))
        check_refused(refused_start(settings), "already running", "--data-dir")
        elsewhere = settings | {"socket": str(tmp_path / "other.sock")}
        check_refused(refused_start(elsewhere), "control.sock", "--data-dir")
        with server.client() as client:
            assert client.get("/health/ready").status_code == 200


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    place = "/dev/null/isthmus"
    check_refused(refused_start(settings_of(tmp_path, data_dir=place)), place, "ISTHMUS_DATA_DIR")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    folder = Path("/var/lib")
    done = refused_start(settings_of(tmp_path, data_dir=str(folder)), as_user="nobody")
    check_refused(done, str(folder), "Permission denied", "ISTHMUS_DATA_DIR")


WRONG_SETTINGS = {
    'nonsense = "x"\n': ("nonsense", "server.toml", "is not a setting", "listen"),
    'database_path = "x"\n': ("database_path", "server.toml", "no longer a setting", "database_url"),
    "listen = 8080\n": ("listen", "server.toml"),
    'listen = "localhost"\n': ("listen", "ADDRESS:PORT"),
    'log_level = "loud"\n': ("log_level", "server.toml", "debug"),
    'tls_certificate = "/x"\n': ("tls_key", "set both"),
    'agent_listen = "127.0.0.1:1"\nlisten = "127.0.0.1:1"\n': ("agent_listen", "listen"),
    'listen = "0.0.0.0:8080"\n': ("listen", "tls_certificate", "behind-proxy"),
    'agent_listen = "[::]:8081"\n': ("agent_listen", "tls_certificate", "behind-proxy"),
    "listen = \n": ("is not TOML", "server.toml"),
    "\xff": ("is not TOML", "server.toml"),
}


@pytest.mark.parametrize(("text", "words"), WRONG_SETTINGS.items())
def test_a_setting_with_a_mistake_is_named_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: tuple[str, ...]
) -> None:
    config = tmp_path / "server.toml"
    config.write_bytes(text.encode("latin-1"))
    code = run(config, {"data_dir": str(tmp_path / "data")})
    captured = capsys.readouterr()
    check_refused(subprocess.CompletedProcess([], code, captured.out, captured.err), *words)
    assert not (tmp_path / "data").exists()


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    check_refused(refused_start({}, "--config", str(tmp_path / "nowhere.toml")), "nowhere.toml", "cannot be read")


def test_a_database_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    done = refused_start(settings_of(tmp_path, database_url="mysql://ada:hunter2@host/x"))
    check_refused(done, "database_url", "sqlite:///", "postgresql://")
    assert "hunter2" not in done.stderr


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    check_refused(refused_start(settings_of(tmp_path, nonsense="x")), "ISTHMUS_NONSENSE", "is not a setting")


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    missing = tmp_path / "nowhere.pem"
    settings = settings_of(tmp_path, tls_certificate=str(missing), tls_key=str(certificate[1]))
    check_refused(refused_start(settings), "tls_certificate", str(missing))


def test_a_certificate_that_cannot_be_used_is_refused_before_the_start(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    check_tls(cert, key)
    for wrong in ((key, cert), (Path("/etc/hostname"), key), (cert, cert)):
        with pytest.raises(CannotListen, match=re.escape(str(wrong[0]))):
            check_tls(*wrong)


def test_a_vault_without_its_key_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "vault.key").write_text("short")
    (data / "vault.key").chmod(0o600)
    check_refused(refused_start(settings_of(tmp_path)), "vault.key", "backup")
    (data / "vault.key").chmod(0o644)
    check_refused(refused_start(settings_of(tmp_path)), "vault.key", "chmod 600")


@pytest.mark.case("SEED-096")
async def test_nothing_travels_in_clear_beyond_this_host(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    refused = refused_start(settings_of(tmp_path, listen="0.0.0.0:8081"))
    check_refused(refused, "listen", "tls_certificate", "development")
    port = free_port()
    for named in ("development", "behind-proxy"):
        with running(tmp_path / named, listen=f"0.0.0.0:{port}", plaintext=named):
            pass

    cert, key = certificate
    trusted = ssl.create_default_context(cafile=str(cert))
    tls = {"listen": f"0.0.0.0:{port}", "tls_certificate": str(cert), "tls_key": str(key)}
    with running(tmp_path / "tls", **tls) as server:
        bearer = {"Authorization": f"Bearer {server.token('read')}"}
        path = f"127.0.0.1:{port}{API}"
        assert httpx2.get(f"https://{path}/networks", headers=bearer, verify=trusted).status_code == 200
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"http://{path}/networks", headers=bearer)
        with pytest.raises(InvalidMessage):
            await connect(f"ws://{path}/agent/stream", additional_headers=bearer, proxy=None)
        assert plain_answer(port) == b"", "who speaks in clear gets not one byte"


def plain_answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            return sock.recv(1000)
    return b""
