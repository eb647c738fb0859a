"""What a heartbeat says of the host itself."""

import socket
import time
from importlib.metadata import version
from pathlib import Path

from isthmus.protocol.agent import Heartbeat, PeerReport

AGENT_VERSION = version("isthmus")
_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STARTED = time.monotonic()
_MAX_TEXT = 255


def hostname() -> str:
    return socket.gethostname()[:_MAX_TEXT]


def machine_id() -> str:
    """The id that survives a boot; the host name where the system has none."""
    try:
        return _MACHINE_ID.read_text("utf-8").strip()[:_MAX_TEXT] or hostname()
    except FileNotFoundError:
        return hostname()


def boot_id() -> str:
    return _BOOT_ID.read_text("ascii").strip()


def heartbeat(nonce: str, revision: int, peers: tuple[PeerReport, ...]) -> Heartbeat:
    return Heartbeat(
        nonce=nonce,
        hostname=hostname(),
        machine_id=machine_id(),
        boot_id=boot_id(),
        agent_version=AGENT_VERSION,
        host_uptime=int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        agent_uptime=int(time.monotonic() - _STARTED),
        revision=revision,
        peers=peers,
    )
