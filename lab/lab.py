"""The lab itself: which hosts there are and how they are connected."""

import os
import re
import shutil
from pathlib import Path
from types import TracebackType

from lab.clock import Clock
from lab.errors import LabUnavailable
from lab.host import Host
from lab.namespace import Guardian, Namespace
from lab.nat import NatKind
from lab.network import Internet, Link, LocalNetwork

# command: the Debian package that has it
REQUIRED = {
    "ip": "iproute2",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ping": "iputils-ping",
    "unshare": "util-linux",
}
# A name becomes the device `to-NAME`, and Linux allows a device 15 characters.
NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")


def check_possible() -> None:
    """Raise LabUnavailable, saying what to do, where no lab can be built."""
    if os.geteuid() != 0:
        raise LabUnavailable("the lab makes network namespaces: run it as root")
    missing = sorted({package for command, package in REQUIRED.items() if shutil.which(command) is None})
    if missing:
        raise LabUnavailable(f"the lab needs more tools: apt-get install --no-install-recommends {' '.join(missing)}")


class Nat(Host):
    """A router on the internet whose local network hides behind its one address, in both families."""

    def __init__(self, namespace: Namespace, link: Link, folder: Path, lan: LocalNetwork) -> None:
        super().__init__(namespace, link, folder)
        self.lan = lan


class Lab:
    """Hosts on one machine. Leaving the `with` block, or dying in whatever way, takes everything away.

        with Lab() as lab:
            gw = lab.host("gw", address="198.51.100.7")
            laptop = lab.host("laptop", behind=lab.nat("home"))
            assert laptop.ping(gw.ipv4)

    Nothing in the lab reaches the real machine's network, nor the other way round.
    """

    def __enter__(self) -> "Lab":
        check_possible()
        self._guardian = Guardian()
        self.folder = self._guardian.folder
        self.hosts: dict[str, Host] = {}
        self._namespaces: list[Namespace] = []
        self._nats = 0
        try:
            self.internet = Internet(self._namespace("internet", forwards=True))
        except BaseException:
            self._guardian.finish()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guardian.finish()
        for host in self.hosts.values():
            host.close()
        for namespace in self._namespaces:
            namespace.close()

    @property
    def guardian_pid(self) -> int:
        """Process 1 of the lab; `nsenter --target PID --pid` enters its PID namespace."""
        return self._guardian.pid

    def host(
        self, name: str, *, address: str | None = None, behind: Nat | None = None, own_clock: bool = False
    ) -> Host:
        """Add a host on the internet, at `address` or the next free one, or `behind` a NAT router.

        `own_clock`: the clock of its programs can be set by `set_clock`.
        """
        clock = Clock(self.folder / f"{name}.clock") if own_clock else None
        namespace = self._namespace(name)
        link = self._attached(namespace, address, behind, None)
        return self._add(Host(namespace, link, self.folder / name, clock))

    def _attached(self, namespace: Namespace, address: str | None, behind: Nat | None, old: Link | None) -> Link:
        if behind is None:
            return self.internet.attach(namespace, address, old)
        if address is not None:
            raise ValueError(f"{namespace.name}: a host behind NAT gets its address from the NAT's own range")
        return behind.lan.attach(namespace, old)

    def move(self, host: Host, *, address: str | None = None, behind: Nat | None = None) -> None:
        """Unplug a host and plug it in elsewhere, under another address: a laptop that is carried away, a router
        whose provider gives it another address. Its processes go on; what its old cable lost is forgotten."""
        namespace = next(each for each in self._namespaces if each.name == host.name)
        host.link = self._attached(namespace, address, behind, host.link)

    def set_clock(self, host: Host, ahead: float) -> None:
        """Make the clock of a host's programs so many seconds fast, or slow below zero, at once.

        As when somebody sets the time, clocks that count since the start of the machine do not jump. The kernel and
        programs that do without the C library, such as wireguard-go, keep the right time.
        """
        if host.clock is None:
            raise ValueError(f"{host.name} was not made with own_clock")
        host.clock.set(ahead)

    def nat(self, name: str, *, public: str | None = None, kind: NatKind | str = NatKind.PORT_RESTRICTED) -> Nat:
        """Add a NAT router on the internet, at `public` or the next free address."""
        namespace = self._namespace(name, forwards=True)
        link = self.internet.attach(namespace, public)
        self._nats += 1
        nat = Nat(namespace, link, self.folder / name, LocalNetwork(namespace, self._nats, NatKind(kind)))
        self._add(nat)
        return nat

    def loss(self, host: Host, percent: float) -> None:
        """From now on lose this share of what goes to, and of what comes from, a host."""
        host.link.lose(percent)

    def cut(self, host: Host) -> None:
        """Silence a host's link. The host is not told: its device stays up, as behind a dead upstream."""
        host.link.lose(100)

    def part(self, one: Host, two: Host) -> None:
        """Lose all that goes between two hosts or routers on the internet; their ways to others stay."""
        self.internet.part(one.link, two.link, lose=True)

    def unite(self, one: Host, two: Host) -> None:
        """Undo `part`."""
        self.internet.part(one.link, two.link, lose=False)

    def mend(self, host: Host) -> None:
        """Undo `cut` and `loss`."""
        host.link.lose(0)

    def _namespace(self, name: str, *, forwards: bool = False) -> Namespace:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} does not name a host: use up to 12 of a-z, 0-9 and -, a letter first")
        if any(name == namespace.name for namespace in self._namespaces):
            raise ValueError(f"this lab has a host {name} already")
        namespace = Namespace(name, self._guardian.pid, forwards=forwards)
        self._namespaces.append(namespace)
        return namespace

    def _add(self, host: Host) -> Host:
        self.hosts[host.name] = host
        return host
