"""`isthmus events`: what happens, as it happens."""

from typing import Annotated, Any

import typer

from isthmus.cli.command import command, lone
from isthmus.cli.errors import Refused, Unreachable
from isthmus.cli.lookup import network_id
from isthmus.cli.session import Session
from isthmus.cli.text import parse_time, printable

app = lone()


@command(app, "events", "isthmus events --network office")
def events(
    session: Session,
    network: Annotated[str | None, typer.Option(help="Only what happens in this network.")] = None,
) -> None:
    """Print what happens, one line each, until Ctrl-C. With --json one object a line, beginning with a `hello`."""
    from isthmus.cli.event_stream import messages

    only = network and network_id(session.api, network)
    names = Names(session)
    for message in messages(session.target, only):
        if session.as_json:
            print(message.text, flush=True)
        elif message.body["type"] == "hello":
            session.note(f"listening to {session.target}; Ctrl-C ends it")
        else:
            print(line_of(message.body, names), flush=True)


class Names:
    """Names of networks and peers by their ids. Asked for once each: names that change are rare, events are not."""

    MOST = 10_000

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, str] = {}

    def of(self, kind: str, subject: str) -> str:
        """The name, or the id of what has none or is gone."""
        if kind not in {"network", "peer"}:
            return subject
        if subject not in self._known:
            if len(self._known) >= self.MOST:
                self._known.clear()
            self._known[subject] = self._asked(f"/{kind}s/{subject}") or subject
        return self._known[subject]

    def _asked(self, path: str) -> str | None:
        try:
            return str(self._session.api.get(path)["name"])
        except (Refused, Unreachable):
            return None


def line_of(notice: dict[str, Any], names: Names) -> str:
    """`23:00:05  office  7  peer.changed  laptop`"""
    at = parse_time(notice["at"])
    if not notice["network"]:
        return "  ".join(map(printable, ["" if at is None else f"{at:%H:%M:%S}", "-", "-", notice["event"]]))
    network = names.of("network", notice["network"])
    subject = names.of(notice["subject_kind"], notice["subject"])
    moment = "" if at is None else f"{at:%H:%M:%S}"
    parts = [moment, network, str(notice["revision"]), notice["event"]]
    return "  ".join(map(printable, parts if notice["subject_kind"] == "network" else [*parts, subject]))
