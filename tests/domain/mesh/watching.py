"""A peer's day as a script: beats of its agents, sightings of its observers, and what was found."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.detection import Observer, Speaker, Watched
from isthmus.domain.mesh.incident import Finding, Process
from isthmus.domain.mesh.limits import Limits
from tests.builders import NOON, a_peer

GW = Observer(PeerId(UUID(int=901)), "gw")
GW_2 = Observer(PeerId(UUID(int=902)), "gw-2")
HOME, CAFE, TRAIN, OFFICE = "203.0.113.5", "198.51.100.20", "192.0.2.77", "203.0.113.200"
BEAT = 15.0


def a_process(machine: str = "laptop", boot: str = "boot-1", started_at: int = 1_772_000_000) -> Process:
    return Process(machine, boot, started_at)


@dataclass
class Scene:
    """`at` in seconds since noon. Each call moves the time on and keeps what it found."""

    limits: Limits = field(default_factory=Limits)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.watched = Watched(a_peer().id)
        self.findings: list[Finding] = []

    def wait(self, seconds: float) -> None:
        self.at += seconds

    def beat(self, source: str | None, process: Process | None = None) -> None:
        found = self.watched.heard(Speaker(source, process), NOON + timedelta(seconds=self.at), self.limits)
        self.findings += [found] if found else []

    def beats(self, source: str | None, process: Process | None, seconds: float) -> None:
        """One beat each 15 s for so long."""
        for _ in range(max(1, int(seconds / BEAT))):
            self.beat(source, process)
            self.wait(BEAT)

    def see(self, endpoint: str, observer: Observer = GW) -> None:
        self.findings += self.watched.saw(observer, endpoint, NOON + timedelta(seconds=self.at), self.limits)

    @property
    def types(self) -> set[str]:
        return {str(finding.type) for finding in self.findings}

    @property
    def blocks(self) -> bool:
        return any(finding.blocks for finding in self.findings)
