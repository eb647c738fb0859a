"""The state directory: what the agent knows after a restart. Every write leaves the old file or the new one."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from isthmus.agent.errors import AgentBusy, NotEnrolled
from isthmus.protocol.agent import Config
from isthmus.wireguard.keys import InvalidKey, PrivateKey

T = TypeVar("T")


class Identity(msgspec.Struct, frozen=True):
    """Who this host is. `ended` means that the server said it is nobody any more."""

    server: str
    peer_id: str
    peer_name: str
    network_id: str
    network_name: str
    session_token: str
    ended: bool = False

    def __repr__(self) -> str:
        return f"Identity(server={self.server!r}, peer={self.peer_name!r}, session_token=***)"


class Applied(msgspec.Struct, frozen=True):
    """The config that was last made true as a whole."""

    revision: int
    config: Config


class ResolvConf(msgspec.Struct, frozen=True):
    """The file that /etc/resolv.conf is, or leads to, without our lines: its bytes as Latin-1, None for no file."""

    path: str
    content: str | None


class Undo(msgspec.Struct, frozen=True):
    """What to put back: `creating` is an interface that was about to be made, the others are former settings."""

    creating: str | None = None
    forwarding: dict[str, str] = {}
    marks: dict[str, str] = {}
    resolv_conf: ResolvConf | None = None


class StateDir:
    """One folder (0700) of files (0600). Reading a file that is not there gives None or an empty value."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; `AgentBusy` while another one has it."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AgentBusy(str(self.path)) from None
            yield
        finally:
            os.close(descriptor)

    @property
    def instance(self) -> Path:
        """Where the pair of this host's instance is, if it is to have one."""
        return self.path / "instance"

    def private_key(self) -> PrivateKey | None:
        return self._key("private.key")

    def next_key(self) -> PrivateKey | None:
        """The key that is to take the place of the present one."""
        return self._key("next.key")

    def make_next_key(self) -> PrivateKey:
        return self._make_key("next.key")

    def adopt_next_key(self) -> None:
        """From now on the next key is the present one, and the old one is gone."""
        (self.path / "next.key").replace(self.path / "private.key")
        self._sync()

    def _key(self, name: str) -> PrivateKey | None:
        file = self.path / name
        try:
            return PrivateKey.parse(file.read_text("ascii").strip())
        except FileNotFoundError:
            return None
        except (InvalidKey, UnicodeDecodeError):
            raise ValueError(f"{file} holds no WireGuard key; leave and enroll again") from None

    def make_private_key(self) -> PrivateKey:
        """The key of an earlier try, whose answer may have been lost, or a fresh one."""
        key = self.private_key()
        return self._make_key("private.key") if key is None else key

    def _make_key(self, name: str) -> PrivateKey:
        key = PrivateKey.generate()
        self._write(name, key.reveal().encode("ascii") + b"\n")
        return key

    def identity(self) -> Identity | None:
        return self._read("identity.json", Identity)

    def enrolled(self) -> tuple[Identity, PrivateKey]:
        """Identity and key of an enrolled host; raises `NotEnrolled`."""
        identity, key = self.identity(), self.private_key()
        if identity is None or key is None:
            raise NotEnrolled(str(self.path))
        return identity, key

    def save_identity(self, identity: Identity) -> None:
        self._write("identity.json", msgspec.json.encode(identity))

    def save_session_token(self, session_token: str) -> None:
        """Present this token from now on, after a restart too."""
        identity = self.identity()
        if identity is None:
            raise NotEnrolled(str(self.path))
        self.save_identity(msgspec.structs.replace(identity, session_token=session_token))

    def applied(self) -> Applied | None:
        return self._read("applied.json", Applied)

    def save_applied(self, applied: Applied) -> None:
        self._write("applied.json", msgspec.json.encode(applied))

    def first(self) -> Applied | None:
        """The config that came with the enrollment; it matters until one is applied."""
        return self._read("first.json", Applied)

    def save_first(self, first: Applied) -> None:
        self._write("first.json", msgspec.json.encode(first))

    def forget_applied(self) -> None:
        for name in ("first.json", "applied.json"):
            (self.path / name).unlink(missing_ok=True)

    def undo(self) -> Undo:
        return self._read("undo.json", Undo) or Undo()

    def save_undo(self, undo: Undo) -> None:
        self._write("undo.json", msgspec.json.encode(undo))

    def clear(self) -> None:
        """Remove every file of ours, and the folder if nothing else is in it."""
        self.empty()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def empty(self) -> None:
        """Remove every file of ours, the key last."""
        shutil.rmtree(self.instance, ignore_errors=True)
        for name in ("first.json", "applied.json", "undo.json", "identity.json", "next.key", "private.key"):
            (self.path / name).unlink(missing_ok=True)
            (self.path / f".{name}.new").unlink(missing_ok=True)

    def _read(self, name: str, kind: type[T]) -> T | None:
        file = self.path / name
        try:
            return msgspec.json.decode(file.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} is damaged ({error}); leave and enroll again") from None

    def _write(self, name: str, content: bytes) -> None:
        draft = self.path / f".{name}.new"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / name)
        self._sync()

    def _sync(self) -> None:
        """Let no crash undo the last renaming."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
