"""The units that are shipped for systemd: they can be read, and give away as little as they say."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
NAMES = sorted(path.name for path in UNITS.glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
# Of 100, as `systemd-analyze security` counts: an agent needs the network's administration, a backend does not.
MOST_EXPOSED = {"isthmus.service": 20, "isthmus-agent.service": 30}


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_a_backend_has_no_power_of_root_but_low_ports_and_the_packet_filter() -> None:
    unit = settings("isthmus.service")
    assert unit["User"] == ["isthmus"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE CAP_NET_ADMIN"]
    for name in ("NoNewPrivileges", "PrivateDevices", "ProtectHome", "RestrictNamespaces", "MemoryDenyWriteExecute"):
        assert unit[name] == ["yes"], name
    assert (unit["ProtectSystem"], unit["UMask"], unit["StateDirectoryMode"]) == (["strict"], ["0077"], ["0700"])
    # Longer than the three processes have one after the other, and the supervisor ends them, not systemd.
    assert (unit["KillMode"], int(unit["TimeoutStopSec"][0]) > 45) == (["mixed"], True)
    assert unit["ExecStart"] == ["/usr/bin/env isthmus up"]


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_takes_a_unit_and_finds_it_closed(name: str) -> None:
    assert ANALYZE is not None
    checked = subprocess.run(
        [ANALYZE, "verify", str(UNITS / name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, name in checked.stderr) == (0, False), checked.stderr
    security = [ANALYZE, "security", "--offline=true", f"--threshold={MOST_EXPOSED[name]}", str(UNITS / name)]
    closed = subprocess.run(security, capture_output=True, text=True, timeout=60, check=False)
    assert closed.returncode == 0, closed.stdout
