"""A host with plain WireGuard tools that knows nothing of Isthmus."""

from lab.errors import LabUnavailable
from lab.host import Host

PACKAGES = {"wg": "wireguard-tools", "wg-quick": "wireguard-tools", "wireguard-go": "wireguard-go"}


def quick_up(host: Host, conf: str, *, interface: str = "wg0") -> None:
    """Save `conf` as /etc/wireguard/INTERFACE.conf on the host, and bring it up with `wg-quick`."""
    for command, package in PACKAGES.items():
        if host.run(["which", command], check=False).returncode != 0:
            raise LabUnavailable(f"{command} is missing: apt-get install --no-install-recommends {package}")
    file = host.path(f"/etc/wireguard/{interface}.conf")
    file.touch(mode=0o600)
    file.write_text(conf)
    host.run(["wg-quick", "up", interface])


def quick_down(host: Host, *, interface: str = "wg0") -> None:
    """Take the interface down with `wg-quick`."""
    host.run(["wg-quick", "down", interface])
