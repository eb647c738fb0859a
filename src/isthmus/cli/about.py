"""`isthmus version` and `isthmus completion`."""

import platform
from enum import StrEnum
from typing import Annotated

import typer

from isthmus.cli.command import SHARED, command, lone
from isthmus.cli.session import Session

version_app = lone()
completion_app = lone()


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(version_app, "version", "isthmus version", options=SHARED)
def version(session: Session) -> None:
    """Show the version of this command."""
    from importlib import metadata

    found = {"isthmus": metadata.version("isthmus"), "python": platform.python_version()}
    session.show(found, lambda each: f"isthmus {each['isthmus']} (Python {each['python']})")


@command(completion_app, "completion", "isthmus completion bash > /etc/bash_completion.d/isthmus", options={})
def completion(
    session: Session,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell that shall complete.")],
) -> None:
    """Print the completion script of a shell. For one session: eval "$(isthmus completion bash)"."""
    from typer.completion import get_completion_inspect_parameters, shell_complete
    from typer.main import get_command

    # Makes typer know its shells.
    get_completion_inspect_parameters()
    shell_complete(get_command(completion_app), {}, "isthmus", "_ISTHMUS_COMPLETE", f"source_{shell}")
