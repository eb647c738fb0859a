"""Runs the command in this process, in an environment of its own, against a server that answers as told."""

import io
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from isthmus.cli import main

Run = Callable[..., "Result"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ISTHMUS_SERVER", "ISTHMUS_SOCKET", "ISTHMUS_TOKEN", "ISTHMUS_SERVER_PLAIN_HTTP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ISTHMUS_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def isthmus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["isthmus", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as exit_:
            main.run()
        captured = capsys.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return run


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Script:
    """What the server answers, by `METHOD path?query`, and what it was asked. A body may be worked out from that."""

    answers: dict[str, tuple[int, Any, dict[str, str]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, request: str, body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answers[request] = (status, body, headers or {})

    def bodies_of(self, method: str) -> list[Any]:
        return [each.body for each in self.asked if each.method == method]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A server on the local socket that ISTHMUS_SOCKET names."""
    script = Script()
    path = tmp_path / "server.sock"
    monkeypatch.setenv("ISTHMUS_SOCKET", str(path))
    with ThreadingUnixStreamServer(str(path), handler_of(script)) as listener:
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield script
        listener.shutdown()
        thread.join()


def handler_of(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            script.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
            status, given, headers = script.answers.get(
                f"{self.command} {self.path}", (404, b'{"title": "not scripted"}', {})
            )
            given = given(script.asked[-1]) if callable(given) else given
            raw = given if isinstance(given, bytes) else json.dumps(given).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # the names are http.server's

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet: what was asked is recorded."""

    return Handler


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody can take while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The URL of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
