"""Our own client certificate: read at start, taken up anew whenever the files change, the last good one kept."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import structlog

from isthmus.federator.pair_reading import BOTH, CERTIFICATE, KEY, PairUnusable
from isthmus.federator.ports import Clock, Pair

log = structlog.get_logger()

LOOK_SECONDS = 1.0
LONGEST_FILE = 256 * 1024

Reader = Callable[[bytes, bytes, float], Pair]
"""Makes a pair of chain and key (PEM), at a time in Unix seconds. Raises `PairUnusable`."""


class NewestPair:
    """The pair that `certificate` and `key` hold. Files are compared by content: it does not matter how they came to
    change."""

    def __init__(self, certificate: Path, key: Path, read: Reader, clock: Clock) -> None:
        """Raises `PairUnusable`, which names the file and the fault."""
        self._files = (certificate, key)
        self._read, self._clock = read, clock
        self._listeners: list[Callable[[Pair], None]] = []
        self.fault = ""
        contents = self._contents()
        self.current = self._make(contents)
        self._seen = digest_of(contents)

    def subscribe(self, listener: Callable[[Pair], None]) -> None:
        """`listener` is called at once with every new pair, and now with the present one."""
        self._listeners.append(listener)
        listener(self.current)

    def look(self) -> None:
        """Take up new files. What is not usable is reported once, and what was good before stays."""
        try:
            contents = self._contents()
            seen = digest_of(contents)
            if seen == self._seen:
                self._mended()
                return
            pair = self._make(contents)
        except PairUnusable as fault:
            self._alarm(str(fault))
            return
        self._seen, self.current = seen, pair
        self._mended()
        log.info("a new certificate is in use", certificate=str(self._files[0]), fingerprint=pair.fingerprint.hex())
        for listener in self._listeners:
            listener(pair)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def _alarm(self, fault: str) -> None:
        if fault != self.fault:
            log.error("the new certificate cannot be used and the last good one stays", fault=fault)
        self.fault = fault

    def _mended(self) -> None:
        self.fault = ""

    def _contents(self) -> tuple[bytes, bytes]:
        certificate, key = self._files
        return _read_file(certificate, CERTIFICATE), _read_file(key, KEY)

    def _make(self, contents: tuple[bytes, bytes]) -> Pair:
        certificate, key = self._files
        try:
            return self._read(*contents, self._clock.now())
        except PairUnusable as fault:
            place = {CERTIFICATE: str(certificate), KEY: str(key), BOTH: f"{certificate} and {key}"}[fault.part]
            raise PairUnusable(fault.part, f"{place}: {fault}") from None


def digest_of(contents: tuple[bytes, bytes]) -> bytes:
    chain, key = contents
    return sha256(len(chain).to_bytes(8) + chain + key).digest()


def _read_file(path: Path, part: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_FILE)
    except FileNotFoundError:
        remedy = "make one with isthmus federation init, or set certificate and key"
        raise PairUnusable(part, f"{path}: there is no such {part} file: {remedy}") from None
    except OSError as error:
        raise PairUnusable(part, f"{path}: the {part} cannot be read ({error.strerror})") from None
