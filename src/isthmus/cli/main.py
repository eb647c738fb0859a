"""Entry point of the `isthmus` command."""

import sys

from isthmus.cli.errors import Failure, report

# What libraries of the agent load where it is installed, and the agent has no use for: 5 MB in all.
UNWANTED = ("rich", "greenlet")


def run() -> None:
    # A host's agent runs for months: parsing no options at all saves it the 9 MB that the parser loads.
    if sys.argv[1:] == ["agent", "run"]:
        _run_agent()
    else:
        from isthmus.cli.root import main

        main()


def _run_agent() -> None:
    # As import says, None stands for a module that is not there: structlog then writes plain tracebacks.
    sys.modules.update(dict.fromkeys(UNWANTED))  # type: ignore[arg-type]  # the stubs know of modules only
    from isthmus.cli.agent_work import run_agent

    try:
        run_agent()
    except Failure as failure:
        report(failure)
        sys.exit(failure.exit_code)
    sys.exit()
