"""Calls into the agent, whose refusals and failures become those of a command. Loads no option parser."""

import asyncio
import os
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isthmus.cli.errors import Failure, Unreachable, missing_extra
from isthmus.cli.importing import importing
from isthmus.domain.errors import Refusal

if TYPE_CHECKING:
    from isthmus.agent.settings import Settings

T = TypeVar("T")


def run_agent(config: Path | None = None) -> None:
    """Run the agent until it is told to stop."""
    settings = load_settings(config)
    from isthmus.agent import main

    finish(main.run(settings))


def load_settings(config: Path | None) -> "Settings":
    try:
        # All of the agent, so that a missing package is told before a secret is asked for.
        with importing():
            import_module("isthmus.agent.main")
        from isthmus.agent.settings import load
    except ModuleNotFoundError as error:
        raise missing_extra(error, "agent") from None
    try:
        return load(config, os.environ)
    except Refusal as refusal:
        raise Failure(str(refusal), refusal.mend) from None


def finish(work: Coroutine[Any, Any, T]) -> T:
    """The result of the agent's work."""
    from isthmus.agent import errors

    try:
        return asyncio.run(work)
    except Refusal as refusal:
        raise Failure(str(refusal), refusal.mend) from None
    except errors.Unreachable as error:
        raise Unreachable(str(error), "check the URL and the network in between, then try again") from None
    except errors.ToolFailed as error:
        raise Failure(str(error)) from None
    except PermissionError as error:
        raise Failure(f"{error.filename or 'the network'}: {error.strerror}", "run the command as root") from None
