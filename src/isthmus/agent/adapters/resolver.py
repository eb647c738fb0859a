"""Where this host looks names up: systemd-resolved, told for one interface alone, or else /etc/resolv.conf."""

import contextlib
import ipaddress
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from isthmus.agent import resolv_conf
from isthmus.agent.adapters import tools
from isthmus.agent.errors import ToolFailed
from isthmus.agent.observed import LinkNames, Lookups
from isthmus.agent.settings import Dns
from isthmus.agent.state import ResolvConf
from isthmus.domain.addresses import IPAddress

RESOLV_CONF = Path("/etc/resolv.conf")
NSSWITCH = Path("/etc/nsswitch.conf")
RESOLVED = Path("/run/systemd/resolve")
# systemd-resolved answers there.
STUBS = ("127.0.0.53", "127.0.0.54")
ENCODING = "latin-1"  # every file is a text in it, and comes out with the same bytes
_DRAFT = ".resolv.conf.isthmus"


class LinuxResolver:
    """`isthmus.agent.ports.Resolver`. What systemd-resolved was told is asked for again only after it changed."""

    def __init__(self, wanted: Dns) -> None:
        self._wanted = wanted
        self._seen: tuple[tuple[int, int], LinkNames] | None = None

    async def observe(self, interface: str) -> Lookups:
        text = _read(_target()) or ""
        return Lookups(
            by=_by(text) if self._wanted == "auto" else self._wanted,
            link=await self._link(interface),
            listed=resolv_conf.listed(text, interface),
        )

    async def ask_on_link(self, interface: str, servers: Sequence[IPAddress], domains: Sequence[str]) -> None:
        self._seen = None
        await tools.run(["resolvectl", "dns", interface, *map(str, servers)])
        # With a tilde a domain says which names to ask for, and completes no short ones.
        await tools.run(["resolvectl", "domain", interface, *(f"~{domain}" for domain in domains)])

    async def forget_link(self, interface: str) -> None:
        self._seen = None
        await tools.run(["resolvectl", "revert", interface])

    def before_listing(self, interface: str, earlier: ResolvConf | None) -> ResolvConf:
        path = _target()
        known = earlier if earlier is not None and earlier.path == str(path) else None
        text = _read(path)
        if text is None:
            return ResolvConf(str(path), None)
        content = resolv_conf.without(text, interface)
        if content is None:
            return known or ResolvConf(str(path), text)
        return known if known is not None and known.content is None and not content else ResolvConf(str(path), content)

    def list_servers(self, interface: str, servers: Sequence[IPAddress], former: ResolvConf) -> None:
        _write(Path(former.path), resolv_conf.with_servers(former.content or "", interface, servers))

    def unlist_servers(self, interface: str, former: ResolvConf | None) -> None:
        path = _target() if former is None else Path(former.path)
        text = _read(path)
        if text is None:
            return
        content = resolv_conf.without(text, interface)
        if content is None:
            # Broken off in the middle: what was there before is known.
            content = former.content if former is not None else text
        if not content and former is not None and former.content is None:
            path.unlink(missing_ok=True)
        elif content is not None and content != text:
            _write(path, content)

    async def _link(self, interface: str) -> LinkNames:
        """Nothing, where systemd-resolved cannot be asked: telling it will say why."""
        state = _told(interface)
        if state is None:
            return LinkNames()
        if self._seen is None or self._seen[0] != state:
            try:
                servers = _values(await tools.run(["resolvectl", "dns", interface]))
                domains = _values(await tools.run(["resolvectl", "domain", interface]))
            except ToolFailed:
                return LinkNames()
            asked = tuple(map(ipaddress.ip_address, servers))
            self._seen = (state, LinkNames(asked, frozenset(domain.removeprefix("~") for domain in domains)))
        return self._seen[1]


def own_servers() -> tuple[IPAddress, ...]:
    """The servers that this host asks by itself, without those that an agent put there."""
    return resolv_conf.foreign_servers(_read(_target()) or "")


def _by(text: str) -> Literal["resolved", "resolv-conf"]:
    """systemd-resolved where it runs and programs ask it: it may well run and be passed by."""
    runs = (RESOLVED / "io.systemd.Resolve").is_socket() and shutil.which("resolvectl", path=tools.ENVIRONMENT["PATH"])
    asked = any(str(server) in STUBS for server in resolv_conf.foreign_servers(text)) or _is_a_source()
    return "resolved" if runs and asked else "resolv-conf"


def _is_a_source() -> bool:
    """Whether nsswitch.conf(5) has programs ask systemd-resolved past resolv.conf."""
    lines = (_read(NSSWITCH) or "").splitlines()
    return any(words[0] == "hosts:" and "resolve" in words for words in map(str.split, lines) if words)


def _told(interface: str) -> tuple[int, int] | None:
    """Differs after systemd-resolved was told something, of this interface or of a new one; None where it never ran."""
    try:
        # Whatever it is told, it writes its files there anew.
        return socket.if_nametoindex(interface), RESOLVED.stat().st_mtime_ns
    except OSError:
        return None


def _values(output: str) -> list[str]:
    """What stands behind `Link 5 (ist-office): ` in an answer of resolvectl."""
    return output.partition("): ")[2].split()


def _target() -> Path:
    """The file itself, where a link leads to it: whoever keeps that one up to date goes on doing so."""
    return Path(os.path.realpath(RESOLV_CONF))


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(ENCODING)
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Put a new file in the place of the old one; where that is not allowed, change the file itself."""
    content = text.encode(ENCODING)
    draft = path.with_name(_DRAFT)
    try:
        _write_draft(path, draft, content)
        draft.replace(path)
    except OSError:
        # A file that is mounted by itself, as in a container, or a folder that only others may write to.
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        _overwrite(path, content)


def _write_draft(path: Path, draft: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        with contextlib.suppress(FileNotFoundError):
            former = path.stat()
            os.fchown(file.fileno(), former.st_uid, former.st_gid)
            os.fchmod(file.fileno(), former.st_mode & 0o777)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _overwrite(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        file.truncate(len(content))
        os.fsync(file.fileno())
