"""The kernel's settings of forwarding and of reverse path checks, read and written as files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from isthmus.domain.addresses import Family

ROOT = Path("/proc/sys/net")
ROUTES = Path("/proc/thread-self/net/ipv6_route")
_ALL = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}
_MARKS = "ipv4/conf/all/src_valid_mark"
# Besides itself, a switch of forwarding sets these for every interface.
_ALONG = {4: ("forwarding", "accept_redirects"), 6: ("forwarding",)}
_BY_ADVERTISEMENT = 0x0004_0000
_NO_PREFIX = "0" * 32


def forwards(family: Family) -> bool:
    """Whether the host forwards packets of `family`; False where it has none."""
    return _read(_ALL[family]) == "1"


def honours_marks() -> bool:
    """Whether reverse path checks look at marks; True where there is no IPv4, and so no check."""
    return _read(_MARKS) in (None, "1")


class LinuxSysctls:
    """The network namespace of this process. A host without IPv6 has no such settings, which is no failure."""

    def before_forwarding(self, family: Family) -> dict[str, str]:
        """Values by their path under /proc/sys/net; the switch itself is the first."""
        names = [_ALL[family]]
        for folder in sorted((ROOT / f"ipv{family}" / "conf").glob("*")):
            names += [f"ipv{family}/conf/{folder.name}/{setting}" for setting in _ALONG[family]]
        if family == 6:
            names += [_accept_ra(device) for device in _devices_with_advertised_route()]
        return {name: value for name in names if (value := _read(name)) is not None}

    def enable_forwarding(self, family: Family) -> None:
        if family == 6:
            # A router ignores router advertisements, and drops the default route it has from one, unless told so.
            for device in _devices_with_advertised_route():
                if _read(_accept_ra(device)) == "1":
                    _write(_accept_ra(device), "2")
        _write(_ALL[family], "1")

    def before_marks(self) -> dict[str, str]:
        return {_MARKS: value} if (value := _read(_MARKS)) is not None else {}

    def honour_marks(self) -> None:
        _write(_MARKS, "1")

    def restore(self, values: dict[str, str]) -> None:
        """Switches first: they overwrite the settings of single interfaces, which follow. Gone interfaces are none."""
        for name in sorted(values, key=lambda name: name not in _ALL.values()):
            if _read(name) not in (None, values[name]):
                _write(name, values[name])


def _devices_with_advertised_route() -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for line in ROUTES.read_text("ascii").splitlines():
            columns = line.split()
            if columns[0] == _NO_PREFIX and columns[1] == "00" and int(columns[8], 16) & _BY_ADVERTISEMENT:
                yield columns[9]


def _accept_ra(device: str) -> str:
    return f"ipv6/conf/{device}/accept_ra"


def _read(name: str) -> str | None:
    try:
        return (ROOT / name).read_text("ascii").strip()
    except OSError:
        return None


def _write(name: str, value: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        (ROOT / name).write_text(value, "ascii")
