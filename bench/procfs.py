"""What the kernel says of a process: CPU time and memory."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PARENT, UTIME, STIME = 1, 11, 12  # counted from the state, the first field after the name in parentheses


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / TICKS


def running_seconds(pid: int) -> float:
    """The same of the threads that are there now, in nanoseconds where the kernel counts them."""
    try:
        return (
            sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
        )
    except FileNotFoundError:
        return cpu_seconds(pid)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[PARENT])


def resident_bytes(pid: int) -> int:
    """Memory that the process has in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has no memory: it has ended")
