"""Signing in and out, API tokens and the audit log, as typed."""

import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from isthmus.cli import credentials
from tests.cli.conftest import Run, Script, handler_of
from tests.cli.samples import TOKEN_ID, page

PASSWORD = "correct horse battery staple"
ANSWER = {"token": "isthmus_api_s3cret", "expires_at": "2026-11-24T08:10:00Z", "user": {"id": "x", "name": "admin"}}


@pytest.fixture
def remote() -> Iterator[tuple[str, Script]]:
    """A server elsewhere, as far as the command line can tell: reached by URL."""
    script = Script()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(script)) as listener:
        listener.daemon_threads = True
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{listener.server_port}", script
        listener.shutdown()
        thread.join()


def test_login_keeps_the_token_and_later_commands_use_it(isthmus: Run, remote: tuple[str, Script]) -> None:
    url, script = remote
    script.on("POST /api/v1/auth/login", ANSWER)
    script.on("GET /api/v1/networks?limit=500", page())
    shown = isthmus("login", "--server", url, "--username", "admin", "--password-file", "-", stdin=PASSWORD + "\n")
    assert shown.code == 0
    assert "isthmus_api_s3cret" not in shown.out + shown.err
    assert script.bodies_of("POST") == [{"username": "admin", "password": PASSWORD}]
    kept = credentials.path_of(os.environ)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert isthmus("network", "list").code == 0
    assert script.asked[-1].headers["Authorization"] == "Bearer isthmus_api_s3cret"


def test_logout_forgets_the_token_even_if_the_server_does_not_answer(isthmus: Run, unused_port: int) -> None:
    url, path = f"http://127.0.0.1:{unused_port}", credentials.path_of(os.environ)
    credentials.save(path, credentials.Credentials(url, {url: credentials.Login("t", "admin")}))
    assert isthmus("logout").code == 3
    assert credentials.load(path) == credentials.Credentials()
    assert isthmus("logout").code == 1


def test_logout_ends_the_token_at_the_server(isthmus: Run, remote: tuple[str, Script]) -> None:
    url, script = remote
    credentials.save(
        credentials.path_of(os.environ), credentials.Credentials(url, {url: credentials.Login("t", "admin")})
    )
    script.on("POST /api/v1/auth/logout", b"", status=204)
    assert isthmus("logout").out == f"signed out of {url}\n"
    assert script.asked[-1].headers["Authorization"] == "Bearer t"


def test_an_api_token_can_be_kept_instead_of_a_password(
    isthmus: Run, remote: tuple[str, Script], tmp_path: Path
) -> None:
    url, script = remote
    file = tmp_path / "token"
    file.write_text("isthmus_api_other\n", encoding="utf-8")
    script.on("GET /api/v1/auth/me", {"actor": "user:admin", "scopes": ["read"], "user": {"id": "x", "name": "admin"}})
    assert isthmus("login", "--server", url, "--token-file", str(file)).code == 0
    assert credentials.load(credentials.path_of(os.environ)).servers[url].token == "isthmus_api_other"
    shown = isthmus("whoami")
    assert shown.out.split() == ["you", "user:admin", "scopes", "read", "server", url]


def test_a_refused_login_keeps_nothing(isthmus: Run, remote: tuple[str, Script]) -> None:
    url, script = remote
    script.on(
        "POST /api/v1/auth/login", {"title": "Not signed in", "detail": "user name or password is wrong"}, status=401
    )
    shown = isthmus("login", "--server", url, "--username", "admin", "--password-file", "-", stdin=PASSWORD)
    assert shown.code == 1
    assert PASSWORD not in shown.err
    assert not credentials.path_of(os.environ).exists()


@pytest.mark.parametrize("stdin", ["", "\n", "two\nlines\n", "x" * 5000])
def test_what_is_no_password_is_misuse_and_is_not_repeated(stdin: str, isthmus: Run, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    shown = isthmus("login", "--server", url, "--username", "a", "--password-file", "-", stdin=stdin)
    assert shown.code == 2
    assert "two" not in shown.err
    assert "xxx" not in shown.err


def test_without_a_terminal_login_says_how_to_pass_the_password(isthmus: Run, unused_port: int) -> None:
    shown = isthmus("login", "--server", f"http://127.0.0.1:{unused_port}", "--username", "admin")
    assert shown.code == 2
    assert "--password-file FILE" in shown.err


def test_at_a_terminal_the_password_is_asked_for_and_not_shown(remote: tuple[str, Script]) -> None:
    url, script = remote
    script.on("POST /api/v1/auth/login", ANSWER)
    ours, theirs = pty.openpty()
    code = "from isthmus.cli.main import run; run()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "login", "--server", url, "--username", "admin"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": ""},
    )
    os.close(theirs)
    seen = b""
    while b"Password: " not in seen:
        seen += os.read(ours, 1024)
    os.write(ours, PASSWORD.encode() + b"\n")
    assert process.wait(timeout=20) == 0
    while chunk := _read(ours):
        seen += chunk
    os.close(ours)
    assert script.bodies_of("POST") == [{"username": "admin", "password": PASSWORD}]
    assert PASSWORD.encode() not in seen
    assert b"signed in to" in seen


def _read(handle: int) -> bytes:
    """What is left on a terminal; one that its last process has left reports an error."""
    try:
        return os.read(handle, 1024)
    except OSError:
        return b""


def test_login_without_a_server_explains_itself(isthmus: Run) -> None:
    shown = isthmus("login")
    assert shown.code == 2
    assert "isthmus login --server URL" in shown.err


def test_an_api_token_is_shown_once_alone_on_its_line(isthmus: Run, server: Script) -> None:
    token = {"id": TOKEN_ID, "name": "ci", "prefix": "isthmus_api_ab", "scopes": ["read", "write"]}
    full = token | {"token": "isthmus_api_abcdef", "expires_at": None, "created_at": "", "last_used_at": None}
    server.on("POST /api/v1/tokens", full, status=201)
    shown = isthmus("token", "create", "ci", "--scope", "read", "--scope", "write", "--lifetime", "1d")
    assert server.bodies_of("POST") == [{"name": "ci", "scopes": ["read", "write"], "lifetime": 86_400}]
    assert "isthmus_api_abcdef" in shown.out.splitlines()


@pytest.mark.parametrize("name", ["ci", "isthmus_api_ab", TOKEN_ID])
def test_an_api_token_is_revoked_by_name_prefix_or_id(name: str, isthmus: Run, server: Script) -> None:
    token = {"id": TOKEN_ID, "name": "ci", "prefix": "isthmus_api_ab", "scopes": ["read"]}
    server.on("GET /api/v1/tokens?limit=500", page(token, token | {"id": "x", "name": "o", "prefix": "o"}))
    server.on(f"DELETE /api/v1/tokens/{TOKEN_ID}", b"", status=204)
    assert isthmus("token", "delete", name).code == 0
    assert server.asked[-1].method == "DELETE"


def test_two_api_tokens_of_one_name_are_told_apart_by_prefix(isthmus: Run, server: Script) -> None:
    token = {"id": TOKEN_ID, "name": "ci", "scopes": ["read"], "expires_at": None, "last_used_at": None}
    server.on("GET /api/v1/tokens?limit=500", page(token | {"prefix": "p1"}, token | {"prefix": "p2"}))
    shown = isthmus("token", "delete", "ci")
    assert shown.code == 2
    assert "p1, p2" in shown.err
    assert [line.split()[:2] for line in isthmus("token", "list").out.splitlines()[1:]] == [["ci", "p1"], ["ci", "p2"]]


def test_the_audit_log_is_listed_newest_first_as_answered(isthmus: Run, server: Script) -> None:
    entry = {"at": "2026-11-23T20:09:48Z", "actor": "user:admin", "action": "peer.create", "outcome": "done"}
    server.on("GET /api/v1/audit?limit=20&before=99", page(entry | {"number": 98, "subject": "laptop"}))
    lines = isthmus("audit", "list", "--limit", "20", "--before", "99").out.splitlines()
    assert lines[1].split() == ["11-23", "20:09:48", "user:admin", "peer.create", "laptop", "done"]


def test_a_password_is_changed_and_never_shown(isthmus: Run, remote: tuple[str, Script], tmp_path: Path) -> None:
    url, script = remote
    script.on("PUT /api/v1/auth/password", b"", status=204)
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(PASSWORD, encoding="utf-8")
    new.write_text(f"{PASSWORD} again", encoding="utf-8")
    files = ("--current-password-file", str(old), "--new-password-file", str(new))
    shown = isthmus("password", "change", "--server", url, *files)
    assert shown.code == 0, shown.err
    assert script.bodies_of("PUT") == [{"current_password": PASSWORD, "new_password": f"{PASSWORD} again"}]
    assert PASSWORD not in shown.out + shown.err


def test_a_lost_password_is_replaced_and_shown_once(isthmus: Run, remote: tuple[str, Script]) -> None:
    url, script = remote
    script.on("POST /api/v1/auth/password/reset", {"password": "abcd-efgh"})
    assert "abcd-efgh" in isthmus("password", "reset", "admin", "--server", url).out
