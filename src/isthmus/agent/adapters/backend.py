"""Which WireGuard this host has. Looks only, so that a dry run may ask too."""

import os
import shutil
from pathlib import Path

from isthmus.agent.adapters.tools import ENVIRONMENT
from isthmus.agent.adapters.wg_kernel import KernelWireGuard
from isthmus.agent.adapters.wg_userspace import UserspaceWireGuard, has_socket
from isthmus.agent.errors import WireGuardMissing
from isthmus.agent.observed import Link
from isthmus.agent.ports import WireGuard
from isthmus.agent.settings import Backend

_WG = "wg is missing: apt install wireguard-tools"
_GO = "wireguard-go is missing: apt install wireguard-go"
_MODULE = "the kernel has no WireGuard module"


class Backends:
    """What an interface may be served by. Each is the same one whenever it is chosen, for it remembers what it read."""

    def __init__(self, wanted: Backend, interface: str) -> None:
        self._wanted = wanted
        self._interface = interface
        self._kernel = KernelWireGuard()
        self._userspace = UserspaceWireGuard()

    def choose(self, link: Link | None) -> WireGuard:
        """The one that serves the interface already, else the wanted one, else the kernel's before wireguard-go."""
        if link is not None:
            return self._userspace if link.kind == "tun" or has_socket(self._interface) else self._kernel
        wanted = self._wanted
        if not _is_installed("ip"):
            raise WireGuardMissing(wanted, "ip is missing: apt install iproute2")
        if wanted == "kernel":
            # Not asked whether the module is there: a container cannot see that, and trying tells.
            if not _is_installed("wg"):
                raise WireGuardMissing(wanted, _WG)
            return self._kernel
        if wanted == "auto" and _kernel_has_wireguard() and _is_installed("wg"):
            return self._kernel
        if _is_installed("wireguard-go"):
            return self._userspace
        if wanted == "userspace":
            raise WireGuardMissing(wanted, _GO)
        raise WireGuardMissing(wanted, _WG if _kernel_has_wireguard() else f"{_MODULE}, and {_GO}")


def _is_installed(program: str) -> bool:
    return shutil.which(program, path=ENVIRONMENT["PATH"]) is not None


def _kernel_has_wireguard() -> bool:
    if Path("/sys/module/wireguard").exists():
        return True
    modules = Path("/lib/modules") / os.uname().release
    lists = (modules / "modules.dep", modules / "modules.builtin")
    return any("/wireguard.ko" in file.read_text("utf-8") for file in lists if file.exists())
