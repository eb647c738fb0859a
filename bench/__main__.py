"""`python -m bench`: run the benchmarks, print the table, keep a complete full run."""

import argparse
import asyncio
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import report
from bench.cases import BENCHMARKS
from bench.client import CallFailed
from bench.measure import Row, Size
from bench.server import ServerFailed
from bench.stream import StreamFailed


def main(arguments: Sequence[str]) -> int:
    """Returns 0 whatever the figures are: people read them, and machines differ. 1 when there are none."""
    options = parser().parse_args(arguments)
    names = options.only or list(BENCHMARKS)
    size = Size(full=options.size == "full")
    allow_many_sockets()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(run(names, size))
    except (CallFailed, ServerFailed, StreamFailed) as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    output = options.output or (report.LATEST if size.full and not options.only else None)
    if output is not None:
        report.save(output, rows, full=size.full)
        print(f"\nkept in {output}")
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench", description="Measure against the goals.")
    made.add_argument("--only", action="append", choices=list(BENCHMARKS), help="this one; may be repeated")
    made.add_argument("--size", choices=("small", "full"), default="full", help="small: a few seconds for each")
    made.add_argument("--output", type=Path, metavar="FILE", help="keep the run here; a full run of all is kept anyway")
    return made


async def run(names: Sequence[str], size: Size) -> list[Row]:
    """The rows of these benchmarks, printed as they come."""
    print(report.heading(), flush=True)
    rows = []
    for name in names:
        async for row in BENCHMARKS[name](size):
            rows.append(row)
            print(report.line(row, judged=size.full), flush=True)
    return rows


def allow_many_sockets() -> None:
    """Thousands of agents need as many descriptors, here and in the server, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
