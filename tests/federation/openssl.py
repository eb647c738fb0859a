"""Sessions by `openssl s_client`, for what Python's TLS cannot do: resumption from a file, and early data."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lab.organisation import PORT
from tests.federation.party import Party
from tests.federation.wire import Credential

WITHIN = 30.0


@dataclass(frozen=True)
class Talk:
    """What the server answered, and what s_client said of the session."""

    answer: str
    report: str

    @property
    def is_resumed(self) -> bool:
        return "Reused, TLSv1.3" in self.report

    @property
    def early_data(self) -> str:
        """`accepted`, `rejected`, or `not sent`."""
        found = [line for line in self.report.splitlines() if line.startswith("Early data was ")]
        return found[-1].removeprefix("Early data was ") if found else ""


@dataclass(frozen=True)
class Client:
    """`folder` holds its certificate and its sessions."""

    party: Party
    other: Party
    folder: Path
    presents: bool = True
    port: int = PORT

    def without_certificate(self) -> "Client":
        """The same, with nothing to prove itself by."""
        return replace(self, presents=False)

    def at(self, port: int) -> "Client":
        """The same for another listener of that host."""
        return replace(self, port=port)

    def talk(self, data: bytes, *options: str) -> Talk:
        """One session: send `data`, read until the server closes, which a request with `Connection: close` asks for."""
        where = ["-connect", f"{self.other.site.host.ipv4}:{self.port}", "-servername", self.other.infra, "-tls1_3"]
        proof = ["-cert", f"{self.folder}/chain.pem", "-key", f"{self.folder}/key.pem"] if self.presents else []
        command = ["openssl", "s_client", *where, *proof, "-ign_eof", *options]
        done = self.party.site.host.run(command, input=data.decode("latin-1"), timeout=WITHIN, check=False)
        # Without -quiet the report stands around the answer, which begins with its status line.
        report, found, rest = done.stdout.partition("HTTP/1.1 ")
        return Talk(found + rest, done.stdout + done.stderr if found else report + done.stderr)


@contextmanager
def client(party: Party, other: Party, credential: Credential | None = None) -> Iterator[Client]:
    """s_client on the host of `party`, with its own leaf or another."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-openssl-"))
    try:
        shown = credential or party.credential
        (folder / "chain.pem").write_bytes(shown.chain)
        (folder / "key.pem").touch(mode=0o600)
        (folder / "key.pem").write_bytes(shown.key)
        yield Client(party, other, folder)
    finally:
        shutil.rmtree(folder)
