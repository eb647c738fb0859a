"""The versions of an nginx configuration on disk: a folder each, complete before anybody can see it, never changed."""

import contextlib
import fcntl
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from isthmus.ingress import nginx, nginx_lint
from isthmus.ingress.refused import IngressRefused
from isthmus.ingress.rendering import Files, read_files
from isthmus.x509.pair import Pair, PairUnusable, load_folder

KEPT = 4
CURRENT, FACTS = "current", "facts.json"
PAIRS, MARKS, MARK = "pairs", "marks", "mark"


@dataclass(frozen=True, slots=True)
class Versions:
    """All of them below one folder; `current` is a symlink to the one that nginx was told to run, `mark` says
    which certificate and key it serves with."""

    folder: Path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """For whoever changes something here. Raises `IngressRefused` if another process is at it."""
        self.prepare()
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise IngressRefused("another command applies an ingress right now", "try again in a moment") from None
            yield

    def prepare(self) -> None:
        """Make the folders, for this user alone."""
        try:
            for folder in (self.folder, self.folder / "temp"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"{self.folder} cannot be made ({error.strerror})"
            raise IngressRefused(why, "choose another --data-dir or mend its rights") from None

    def write(self, files: Files, facts: bytes) -> Path:
        """A new version. nginx has not seen it yet, and `current` is what it was."""
        self.prepare()
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        stamped = {**files, nginx.CONFIG: nginx.with_version(files[nginx.CONFIG], name)}
        contents = {each: text.encode() for each, text in stamped.items()}
        _fill(folder, {**contents, FACTS: facts})
        return folder

    def current(self) -> Path | None:
        """The folder of the version that was promoted last, if it is there."""
        try:
            return (self.folder / CURRENT).resolve(strict=True)
        except OSError:
            return None

    def promote(self, version: Path) -> None:
        """From now on `version` is the current one; at no moment is there none."""
        self._turn(CURRENT, Path(version.name))

    def install(self, pair: Pair) -> bool:
        """Have the next handshakes use `pair`; False if they do already. Both halves change at once."""
        self.prepare()
        with contextlib.suppress(PairUnusable):
            present = load_folder(self.pair)
            if (present.chain, present.key) == (pair.chain, pair.key):
                return False
        former, name = self.pair.name, f"{pair.leaf.fingerprint.hex()[:16]}-{secrets.token_hex(3)}"
        for each in (PAIRS, MARKS):
            (self.folder / each / name).mkdir(mode=0o700, parents=True)
        _fill(self.folder / PAIRS / name, {nginx.CHAIN: pair.chain, nginx.KEY: pair.key})
        self._turn(MARK, Path(MARKS) / name)
        for path in (*self.folder.glob(f"{PAIRS}/*"), *self.folder.glob(f"{MARKS}/*")):
            # A handshake that began a moment ago may still read the former.
            if path.name not in (name, former):
                shutil.rmtree(path, ignore_errors=True)
        return True

    @property
    def pair(self) -> Path:
        """The folder of the certificate and key that handshakes use now; it may be missing."""
        return self.folder / PAIRS / (self.folder / MARK).resolve().name

    def has_pair(self) -> bool:
        """Whether there is a pair that handshakes can use."""
        try:
            load_folder(self.pair)
        except PairUnusable:
            return False
        return True

    def _turn(self, name: str, folder: Path) -> None:
        draft = self.folder / f".{name}.new"
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder)
        draft.replace(self.folder / name)

    def prune(self) -> None:
        """Remove all but the newest versions and the current one."""
        present = self.current()
        named = [path for path in self.folder.iterdir() if path.is_dir() and (path / nginx.DIGEST).exists()]
        old = sorted((path for path in named if not path.is_symlink()), key=lambda path: path.name)[:-KEPT]
        for path in old:
            if path != present:
                shutil.rmtree(path, ignore_errors=True)


def faults(version: Path) -> list[str]:
    """What is wrong with a version on disk: a directive that was weakened, a file that was changed, broken anchors."""
    try:
        findings = nginx_lint.lint(read_files(version))
    except IngressRefused as refused:
        return [str(refused)]
    try:
        load_folder(Versions(version.parent).pair)
    except PairUnusable as error:
        findings.append(str(error))
    return findings


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, raw in contents.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(raw)
