"""What a command asks its user: secrets that must not stand on a command line, and whether to go on."""

import getpass
import sys
from pathlib import Path

import typer

from isthmus.cli.errors import Misuse

LONGEST_SECRET = 4096


def secret(what: str, file: str | None, option: str) -> str:
    """A secret from a file, from standard input (`-`), or typed without being shown. One line of it counts."""
    text = _from_file(file) if file else _typed(what, option)
    found = text.strip()
    if not found or "\n" in found or len(found) > LONGEST_SECRET:
        raise Misuse(f"the {what} is not one line of text", f"type it, or give {option} FILE (- reads standard input)")
    return found


def _from_file(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read(LONGEST_SECRET + 2)
        with Path(file).open(encoding="utf-8") as stream:
            return stream.read(LONGEST_SECRET + 2)
    except OSError as error:
        raise Misuse(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{file} is not text") from None


def _typed(what: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise Misuse(f"there is no terminal to ask for the {what}", f"give {option} FILE (- reads standard input)")
    return getpass.getpass(f"{what[0].upper()}{what[1:]}: ")


def confirm(question: str, *, yes: bool) -> None:
    """Make sure that somebody at a terminal means it; scripts, which cannot answer, are taken at their word."""
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)
