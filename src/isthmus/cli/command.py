"""How a function becomes a command: shared options, an example in its help, failures told in one way."""

import functools
import inspect
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Concatenate

import typer

from isthmus.cli.errors import Failure, report
from isthmus.cli.session import Session

WATCH_SECONDS = 2

Verb = Callable[Concatenate[Session, ...], None]

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, as the API does.")]
Server = Annotated[str | None, typer.Option(metavar="URL", help="Server to talk to. [env: ISTHMUS_SERVER]")]
Socket = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Socket of the server on this machine. [env: ISTHMUS_SOCKET]")
]
Watch = Annotated[bool, typer.Option("--watch", help="Show again every 2 seconds, until Ctrl-C.")]

SHARED = {"as_json": Json}
ONLINE = SHARED | {"server": Server, "socket": Socket}
LIST = ONLINE | {"watching": Watch}


def noun(summary: str) -> typer.Typer:
    """A group of verbs."""
    app = lone()
    app.info.no_args_is_help = True
    # Without a callback a group of one verb would be that verb.
    app.callback(help=summary)(lambda: None)
    return app


def lone() -> typer.Typer:
    """A command without verbs. Help is plain text: rich takes longer to load than all the rest."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def command(app: typer.Typer, name: str, example: str, *, options: dict[str, Any] = ONLINE) -> Callable[[Verb], Verb]:
    """Register a verb: its first argument is the session that `options` describe, the rest are its own.

    The docstring's text is the help; `example` is shown below it.
    """

    def register(verb: Verb) -> Verb:
        app.command(name, epilog=f"\b\nExample:\n  {example}")(_with_options(verb, options))
        return verb

    return register


def _with_options(verb: Verb, options: dict[str, Any]) -> Callable[..., None]:
    @functools.wraps(verb)
    def run(**given: Any) -> None:
        session = Session(**{name: given.pop(name) for name in options})
        with closing(session):
            try:
                _repeat(verb, session, given)
            except Failure as failure:
                report(failure, as_json=session.as_json)
                raise typer.Exit(failure.exit_code) from None

    own = list(inspect.signature(verb).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation)
        for name, annotation in options.items()
    ]
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    # typer reads the options of a command from the signature of its function.
    run.__signature__ = inspect.Signature([*keywords, *shared])  # type: ignore[attr-defined]
    return run


_DEFAULTS = {"as_json": False, "server": None, "socket": None, "watching": False}


def _repeat(verb: Verb, session: Session, given: dict[str, Any]) -> None:
    verb(session, **given)
    while session.watching:
        time.sleep(WATCH_SECONDS)
        verb(session, **given)
