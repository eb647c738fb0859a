"""The scripted DNS server on a host of a lab: organisations publish their records in it, and tests make it lie."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab.host import Host
from lab.lab import Lab
from lab.names_server import Reply
from lab.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parent.parent
ADDRESS = "198.51.100.53"
SERVICE = "isthmus-federator"
TTL = 30
FOLLOW_SECONDS = 10.0


@dataclass(frozen=True)
class Question:
    """One question as it came: from which address, and the name in lower case, without the last dot."""

    transport: str
    source: str
    kind: str
    name: str


class ScriptedNames:
    """`say` and `publish` return once the server answers so. What is asked about beyond that does not exist."""

    def __init__(
        self, lab: Lab, *, address: str = ADDRESS, service: str = SERVICE, ttl: int = TTL, name: str = "dns"
    ) -> None:
        self.lab = lab
        self.host = lab.host(name, address=address)
        self.service = service
        self.ttl = ttl
        self.script: dict[str, list[Reply]] = {}
        self._script = self.host.folder / "script.json"
        self._log = self.host.folder / "questions.log"
        self._log.touch()
        self._write()
        command = [sys.executable, "-m", "lab.names_server", address, str(self._script), str(self._log)]
        self.process = self.host.start(command, name="names", env={"PYTHONPATH": str(CHECKOUT)})
        self.process.wait_for("listening on")

    @property
    def address(self) -> str:
        return str(self.host.ipv4)

    def srv(self, domain: str) -> str:
        """The name under which the Federators of `domain` are found."""
        return f"_{self.service}._tcp.{domain}"

    def publish(self, domain: str, infra: str, addresses: Sequence[IPv4Address | IPv6Address], port: int) -> None:
        self.script[f"{self.srv(domain)} SRV"] = [Reply([f"{self.ttl} SRV 0 0 {port} {infra}."])]
        for kind, version in (("A", 4), ("AAAA", 6)):
            records = [f"{self.ttl} {kind} {each}" for each in addresses if each.version == version]
            if records:
                self.script[f"{infra} {kind}"] = [Reply(records)]
        self._apply()

    def say(self, question: str, *replies: Reply) -> None:
        """From now on `question` (`"infra.b.example A"`) gets these replies, one after the other."""
        self.script[question] = list(replies)
        self._apply()

    def forget(self, question: str) -> None:
        """From now on there is no such record."""
        self.script.pop(question, None)
        self._apply()

    @contextlib.contextmanager
    def saying(self, question: str, *replies: Reply) -> Iterator[None]:
        """`say` for the time of the block; without replies there is no such record."""
        before = dict(self.script)
        try:
            if replies:
                self.say(question, *replies)
            else:
                self.forget(question)
            yield
        finally:
            self.script = before
            self._apply()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """While the block runs no question gets an answer."""
        with self.process.frozen():
            yield

    def questions(self) -> list[Question]:
        """All that were asked so far, oldest first."""
        lines = [line.split(" ", 3) for line in self._log.read_text(encoding="utf-8").splitlines()]
        return [Question(*words) for words in lines if words[0] in ("udp", "tcp")]

    @contextlib.contextmanager
    def watching(self, by: Host | None = None) -> Iterator[list[Question]]:
        """A list that holds, once the block has ended, the questions that came meanwhile, from one host or from all."""
        # What was asked is written down thirty times a second: a change is logged after all that came before it.
        self._apply()
        before = len(self.questions())
        found: list[Question] = []
        yield found
        self._apply()
        found += [each for each in self.questions()[before:] if by is None or each.source == str(by.ipv4)]

    def _write(self) -> None:
        draft = self._script.with_suffix(".draft")
        content = {question: [asdict(reply) for reply in replies] for question, replies in self.script.items()}
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self._script)

    def _apply(self) -> None:
        self._write()
        mark = f"script {self._script.stat().st_mtime_ns}"
        wait_until(lambda: mark in self._log.read_text(encoding="utf-8"), within=FOLLOW_SECONDS, what="the new script")
