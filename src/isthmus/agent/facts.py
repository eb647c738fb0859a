"""What a heartbeat says of the host itself."""

import socket
import time
from pathlib import Path

import isthmus
from isthmus.protocol.agent import Host

AGENT_VERSION = isthmus.__version__
_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Taken once: computed anew, they would differ by a second now and then and look like news.
_STARTED = int(time.time())
_BOOTED = _STARTED - int(time.clock_gettime(time.CLOCK_BOOTTIME))
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


def host() -> Host:
    return Host(hostname(), machine_id(), boot_id(), AGENT_VERSION, _BOOTED, _STARTED)
