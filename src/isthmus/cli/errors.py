"""What ends a command early: failures with an exit code, and how they are told on standard error."""

import json
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

from isthmus.cli.text import printable


class Failure(Exception):
    """A command could not do what it was asked; `hint` says what to do about it. The exit code tells the kind."""

    exit_code: ClassVar[int] = 1

    def __init__(self, title: str, hint: str | None = None) -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint

    def document(self) -> dict[str, Any]:
        """The failure as the members of a problem document (RFC 9457)."""
        return {"title": self.title} | ({"hint": self.hint} if self.hint else {})


class Misuse(Failure):
    """The command line itself makes no sense."""

    exit_code = 2


class Unreachable(Failure):
    """No Isthmus server answers where we looked for one."""

    exit_code = 3


class Refused(Failure):
    """The server answered with a problem document instead of doing what it was asked."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("title") or "the server refused"), problem.get("hint"))
        self.problem = problem

    def document(self) -> dict[str, Any]:
        return self.problem

    @classmethod
    def with_status(cls, status: int, request_id: str | None) -> "Refused":
        """For an answer that names a status and nothing else."""
        return cls({"title": f"the server answered {status}", "status": status, "request_id": request_id})


def missing_extra(error: ModuleNotFoundError, extra: str) -> Failure:
    """The failure for packages that were not installed; a module of our own that is missing is a defect."""
    if (error.name or "").partition(".")[0] == "isthmus":
        raise error
    hint = f"install what it needs: pip install 'isthmus[{extra}]'"
    return Failure(f"the {extra} needs the package {error.name}, which is not installed", hint)


def report(failure: Failure, *, as_json: bool = False) -> None:
    """Tell the user on standard error: what happened, where in the request, what to do, and the request's id."""
    document = failure.document()
    text = json.dumps(document, indent=2) if as_json else "\n".join(lines_of(document))
    print(text, file=sys.stderr)


def lines_of(document: dict[str, Any]) -> Iterator[str]:
    yield f"error: {printable(document['title'])}" if document.get("title") else "error"
    hint = document.get("hint")
    if errors := document.get("errors"):
        # They say in parts what `detail` says in one.
        for each in errors:
            yield f"  {printable(_place(each, hint))}"
    elif document.get("detail"):
        yield f"  {printable(document['detail'])}"
    yield from _way(document)
    if hint:
        yield f"  what to do: {printable(hint)}"
    if document.get("request_id"):
        yield f"  request id: {printable(document['request_id'])}"


STAGES = {
    "federator_out": "the Federator of this backend",
    "remote": "the remote backend",
    "ingress": "the ingress of this backend",
    "federator_in": "the inward Federator of this backend",
}


def _way(document: dict[str, Any]) -> Iterator[str]:
    """Who said no, where it was not the server itself, and what a remote told whoever asked for us."""
    if who := STAGES.get(str(document.get("stage"))):
        yield f"  refused by: {who} ({printable(document.get('code', ''))})"
    remote = document.get("remote")
    if isinstance(remote, dict):
        said = f"{remote.get('status', '')} {remote.get('code', '')}".strip()
        yield f"  the remote said: {printable(said)}"
        if there := remote.get("request_id"):
            yield f"  request id there: {printable(there)}"


def _place(error: dict[str, Any], said_anyway: str | None) -> str:
    field = str(error.get("pointer", "")).removeprefix("/") or "request"
    if error.get("where"):
        # Of `operations/3/endpoint` the user, who wrote lines of a file, knows the end.
        field = ", ".join([str(error["where"]), *field.split("/", 2)[2:]])
    hint = error.get("hint")
    return f"{field}: {error.get('detail', '')}" + (f" ({hint})" if hint and hint != said_anyway else "")
