"""Entry point of the `isthmus` command."""

import sys

from isthmus.cli.errors import Failure, report


def run() -> None:
    # A host's agent runs for months: parsing no options at all saves it the 9 MB that the parser loads.
    if sys.argv[1:] == ["agent", "run"]:
        _run_agent()
    else:
        from isthmus.cli.root import main

        main()


def _run_agent() -> None:
    from isthmus.cli.agent_work import run_agent

    try:
        run_agent()
    except Failure as failure:
        report(failure)
        sys.exit(failure.exit_code)
    sys.exit()
