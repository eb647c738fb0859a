"""`isthmus completion`: scripts that make shells complete nouns, verbs, options and their values."""

import os
from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_inspect_parameters, shell_complete
from typer.main import get_command

from isthmus.cli.command import command, lone
from isthmus.cli.session import Session

VARIABLE = "_ISTHMUS_COMPLETE"

app = lone()


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(app, "completion", "isthmus completion bash > /etc/bash_completion.d/isthmus", options={})
def completion(
    session: Session,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell. For one session: eval "$(isthmus completion bash)"."""
    know_shells()
    shell_complete(get_command(app), {}, "isthmus", VARIABLE, f"source_{shell}")


def prepare() -> None:
    """Get ready if it is a shell that calls, for completions."""
    if VARIABLE in os.environ:
        know_shells()


def know_shells() -> None:
    """typer learns its shells on the way to options of its own, which would be two more in every help."""
    get_completion_inspect_parameters()
