"""`isthmus server`: run the controller on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.command import command, lone
from isthmus.cli.errors import missing_extra
from isthmus.cli.importing import importing
from isthmus.cli.options import DATA_DIR, LISTEN, SETTINGS, without_none
from isthmus.cli.session import Session

app = lone()


@command(app, "server", "isthmus server --listen 127.0.0.1:8080", options={})
def server(
    session: Session,
    config: Annotated[Path | None, SETTINGS] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    listen: Annotated[str | None, LISTEN] = None,
) -> None:
    """Run the controller on this machine until Ctrl-C. The first start shows the administrator's password."""
    try:
        with importing():
            from isthmus.server.main import run
    except ModuleNotFoundError as error:
        raise missing_extra(error, "server") from None
    raise typer.Exit(run(config, without_none({"data_dir": data_dir, "listen": listen})))
