"""A throwaway PostgreSQL server on a unix socket, with its data on the disk and fsync on."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

INIT_SECONDS = 60
START_SECONDS = 30.0
END_SECONDS = 20.0
POLL_SECONDS = 0.05
USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


class PostgresUnavailable(Exception):
    """There is no PostgreSQL here, or it does not start; the text says which."""


def programs() -> Path:
    """The folder of initdb and postgres; Debian keeps it out of PATH and names the version in it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve())
    if not found:
        raise PostgresUnavailable("PostgreSQL is not installed: apt-get install --no-install-recommends postgresql")
    return found[-1].parent


def account() -> pwd.struct_passwd:
    """Whose server it is: our own account, or one without rights when that is root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailable("PostgreSQL does not run as root, and this system has no user postgres or nobody")


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[str]:
    """The URL of an empty database. Raises `PostgresUnavailable`."""
    binaries, owner = programs(), account()
    folder = Path(tempfile.mkdtemp(prefix="isthmus-bench-pg-"))
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    try:
        _as(owner, [binaries / "initdb", "--pgdata", folder / "data", "--auth", "trust", "--username", "isthmus"])
        server = _start(owner, binaries, folder)
        try:
            await _until_ready(server, binaries, folder)
            yield f"postgresql://isthmus@/postgres?host={folder}"
        finally:
            _end(server)
    finally:
        shutil.rmtree(folder)


def _as(owner: pwd.struct_passwd, command: list[str | Path]) -> None:
    done = subprocess.run(
        [*_becoming(owner), *command], cwd="/", capture_output=True, text=True, timeout=INIT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise PostgresUnavailable(f"{command[0]} failed: {done.stderr.strip()}")


def _becoming(owner: pwd.struct_passwd) -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]


def _start(owner: pwd.struct_passwd, binaries: Path, folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [
                *_becoming(owner),
                # After the change of user, which would forget it: the server ends with this process.
                *("setpriv", "--pdeathsig", "INT", "--"),
                *(binaries / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="),
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


async def _until_ready(server: "subprocess.Popen[bytes]", binaries: Path, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not await asyncio.to_thread(_accepts, binaries, folder):
        if server.poll() is not None or time.monotonic() > deadline:
            log = (folder / "log").read_text(errors="replace")
            raise PostgresUnavailable(f"PostgreSQL did not start: {log[-1000:]}")
        await asyncio.sleep(POLL_SECONDS)


def _accepts(binaries: Path, folder: Path) -> bool:
    return (
        subprocess.run([binaries / "pg_isready", "-q", "-h", folder], timeout=START_SECONDS, check=False).returncode
        == 0
    )


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGINT)  # "fast": does not wait for clients
    try:
        server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(END_SECONDS)
