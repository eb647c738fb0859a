"""A whole backend in a lab: one real server on a host of its own, and its mesh."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2

from lab.certificates import Authority
from lab.lab import Lab
from lab.mesh import Mesh, Watcher, served_with
from lab.waiting import wait_until

SERVER_ADDRESS = "203.0.113.10"
DATA = "/var/lib/isthmus"
START_SECONDS = 30.0
CALL_SECONDS = 20.0


class Backend(Mesh):
    """Starts the server; networks and peers follow by the calls below. The lab takes everything away.

        with Lab() as lab, Backend(lab) as backend:
            backend.create_network("office", cidr_v4="10.20.0.0/24")
            gw = backend.join(lab.host("gw"), "office", kind="jump")
            laptop = backend.join(lab.host("laptop", behind=lab.nat("home")), "office")
            backend.settle()
            assert laptop.host.ping(gw.ipv4)

    Networks and peers are made by the API, which takes milliseconds; `cli` types the command of a person instead.
    """

    def __init__(self, lab: Lab, *, settings: Mapping[str, str] | None = None, watch: Watcher | None = None) -> None:
        self.lab = lab
        self.host = lab.host("server", address=SERVER_ADDRESS)
        # Its socket by way of our own view of the host's files: no process has to be started for a question.
        transport = httpx2.HTTPTransport(uds=str(self.host.path(f"{DATA}/server.sock")))
        api = httpx2.Client(base_url="http://local/api/v1", transport=transport, timeout=CALL_SECONDS)
        super().__init__(api, f"https://{SERVER_ADDRESS}", Authority(), watch or (lambda host, command, output: None))
        self._configure({"listen": f"{SERVER_ADDRESS}:443"} | dict(settings or {}))
        self.server = self.host.start(["isthmus", "server", "--config", "/etc/isthmus/server.toml"], name="server")
        self.await_server()
        self.watch(self.host, self.server.command, self.server.output)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.api.close()

    def _configure(self, settings: Mapping[str, str]) -> None:
        folder = self.host.path("/etc/isthmus")
        given = served_with(self.host, self.authority) | dict(settings)
        # A JSON text is a TOML text too.
        (folder / "server.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))

    def await_server(self) -> None:
        """Wait until the server says that it runs."""
        self.server.wait_for("Isthmus is running at", within=START_SECONDS)
        wait_until(self._answers, within=START_SECONDS, what="an answer of the server")

    def _answers(self) -> bool:
        try:
            return self.api.get("/health/live").is_success
        except httpx2.TransportError:
            return False

    def cli(self, *arguments: str) -> str:
        """An `isthmus` command of the administrator, on the server's host; returns what it printed."""
        return self.type(self.host, "isthmus", *arguments)

    def logs(self) -> dict[str, str]:
        """What the server and the agents printed since they were last started, by host."""
        return {"server": self.server.output} | {name: each.agent.output for name, each in self.members.items()}
