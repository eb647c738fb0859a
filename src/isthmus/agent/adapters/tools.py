"""Runs a program of the system to its end, with a deadline and a clean environment."""

import asyncio
import os
import sys
from collections.abc import Sequence

from isthmus.agent.errors import ToolFailed

TIMEOUT_SECONDS = 20.0
MAX_COMPLAINT = 400
# Programs such as ip and nft live in sbin, which a service's or user's PATH may lack.
ENVIRONMENT = {"PATH": f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}


def watch_children_by_descriptor() -> None:
    """Spare the loop a thread per program: up to 3.11 that is asyncio's default. Call it before the first program."""
    if sys.version_info < (3, 12):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.get_event_loop_policy().set_child_watcher(watcher)


async def run(command: Sequence[str], stdin: str = "") -> str:
    """What `command` printed. Raises `ToolFailed` with its complaint, never with its input."""
    status, output, complaint = await attempt(command, stdin)
    if status != 0:
        raise ToolFailed(f"{' '.join(command[:6])}: {complaint or f'status {status}'}")
    return output


async def attempt(command: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
    """Status, output and complaint of `command`. A session of its own keeps our signals from what it leaves behind."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise ToolFailed(f"{command[0]} is not installed") from None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, complaint = await process.communicate(stdin.encode())
    except TimeoutError:
        raise ToolFailed(f"{command[0]} did not end within {TIMEOUT_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace"), _first_lines(complaint.decode(errors="replace"))


def _first_lines(text: str) -> str:
    return " ".join(text.split())[:MAX_COMPLAINT]
