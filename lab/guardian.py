"""The program that outlives a lab's owner just long enough to leave nothing of the lab behind.

It is process 1 of the lab's PID namespace. Should it be killed as well, the kernel kills every other process
of that namespace with it; a network namespace ends with its last process.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time

KILL_SECONDS = 5.0


def main() -> None:
    """Arguments: a pidfd of the owner and the lab's folder. A byte on standard input ends the lab too."""
    owner, folder = int(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Daemons become children of process 1; ignoring the signal lets the kernel reap them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)

    end = select.poll()
    end.register(owner, select.POLLIN)
    end.register(sys.stdin, select.POLLIN)
    end.poll()

    kill_everything()
    shutil.rmtree(folder)


def kill_everything() -> None:
    """Kill every process of this PID namespace but this one, until none is left."""
    deadline = time.monotonic() + KILL_SECONDS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(-1, signal.SIGKILL)
            time.sleep(0.002)


if __name__ == "__main__":
    # Only as process 1 of its own namespace does "all processes" mean those of the lab.
    if os.getpid() != 1:
        sys.exit("the guardian is started by the lab, in a PID namespace of its own")
    main()
