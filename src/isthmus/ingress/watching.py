"""What the runner looks at: the facts, and the files that the ingress is made of."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import SystemRandom

from isthmus.ingress import control, facts
from isthmus.ingress.refused import FactsUnavailable, IngressRefused
from isthmus.protocol.ingress import IngressFacts
from isthmus.protocol.places import Places
from isthmus.x509.pair import CHAIN, KEY, LONGEST

WAIT_SECONDS = 25.0
FILE_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
RANDOM = SystemRandom()

Found = Callable[[IngressFacts | IngressRefused], None]


class FactsWatch:
    """Tells each change of the facts, and each time that they are broken or cannot be had.

    A thread that nobody waits for at the end: a long poll would hold up the stop for as long as it lasts.
    """

    def __init__(self, places: Places, file: Path | None, found: Found) -> None:
        self._places = places
        self._file = file
        self._found = found
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="facts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        look = self._from_server if self._file is None else partial(self._from_file, self._file)
        while not self._ended.is_set():
            look()

    def _tell(self, what: IngressFacts | IngressRefused) -> None:
        if not self._ended.is_set():
            mine = facts.part_of(what, self._places.replica) if isinstance(what, IngressFacts) else what
            self._loop.call_soon_threadsafe(self._found, mine)

    _generation = -1
    _pause = FIRST_PAUSE

    def _from_server(self) -> None:
        try:
            found = control.fetch(self._places.control, self._generation, WAIT_SECONDS if self._generation >= 0 else 0)
        except IngressRefused as refused:
            if isinstance(refused, FactsUnavailable):
                # A server that was started anew, or over another database, may count from the beginning.
                self._generation = -1
            self._tell(refused)
            self._ended.wait(self._pause * RANDOM.uniform(0.5, 1.0))
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return
        self._pause = FIRST_PAUSE
        if found is not None:
            self._generation = found.generation
            self._tell(found)
        elif self._generation < 0:
            self._tell(FactsUnavailable("the server knows no facts of an ingress yet", "isthmus federation init"))
            self._ended.wait(1.0)

    _seen: tuple[int, int, int] | None = None

    def _from_file(self, file: Path) -> None:
        try:
            about = file.stat()
            state = (about.st_ino, about.st_mtime_ns, about.st_size)
        except OSError:
            state = (0, 0, 0)
        if state != self._seen:
            self._seen = state
            try:
                self._tell(facts.read(file))
            except IngressRefused as refused:
                self._tell(refused)
        self._ended.wait(FILE_SECONDS)


@dataclass
class FileWatch:
    """Remembers what the files were like, by content: a mounted volume changes them without telling anybody."""

    places: Places
    material: bytes = b""
    receiver: tuple[int, int] | None = None

    def material_changed(self) -> bool:
        """Whether certificate, key or listener key differ from the last look."""
        now = self._material()
        changed = now != self.material
        self.material = now
        return changed

    def receiver_changed(self) -> bool:
        """Whether the socket that refusals are sent to is another one than at the last look."""
        try:
            about = self.places.refusals.stat()
        except OSError:
            return False
        now = (about.st_ino, about.st_ctime_ns)
        former, self.receiver = self.receiver, now
        return former is not None and former != now

    def _material(self) -> bytes:
        found = sha256()
        pair = self.places.ingress_pair
        for path in (pair / CHAIN, pair / KEY, self.places.listener_key):
            try:
                with path.open("rb") as file:
                    found.update(file.read(LONGEST) + b"\0")
            except OSError:
                found.update(b"\1")
        return found.digest()


@dataclass
class Pause:
    """How long to wait before the next try: twice as long after each that failed, from anew after a while of peace."""

    shortest: float = 0.25
    longest: float = 10.0
    peace: float = 60.0
    _next: float = 0.0
    _last: float = 0.0

    def after_failure(self) -> float:
        now = time.monotonic()
        if now - self._last > self.peace:
            self._next = self.shortest
        self._last = now
        found, self._next = self._next, min(self._next * 2, self.longest)
        return found


@dataclass
class Lines:
    """Passes on lines that nginx writes, so many a second: strangers can make it write as many as they like."""

    out: Callable[[str], None]
    a_second: float = 20.0
    burst: float = 200.0
    _left: float = field(init=False)
    _at: float = field(default_factory=time.monotonic)
    _left_out: int = 0

    def __post_init__(self) -> None:
        self._left = self.burst

    def say(self, text: str) -> None:
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.a_second)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return
        self._left -= 1
        if self._left_out:
            self.out(f"{self._left_out} lines were left out")
            self._left_out = 0
        self.out(text)
