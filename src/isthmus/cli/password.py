"""`isthmus password`: change one's own, or get a new one on the server's machine when it is lost."""

from typing import Annotated

import typer

from isthmus.cli.ask import secret
from isthmus.cli.command import command, noun
from isthmus.cli.session import Session

app = noun("Change your password, or reset a lost one.")
NEW = "--new-password-file"
FILE = typer.Option(metavar="FILE", help="Read it from FILE, - for standard input; asked for if left out.")


@command(app, "change", "isthmus password change")
def change(
    session: Session,
    current_password_file: Annotated[str | None, FILE] = None,
    new_password_file: Annotated[str | None, FILE] = None,
) -> None:
    """Change your password; all your tokens end, this one too."""
    current = secret("current password", current_password_file, "--current-password-file")
    new = secret("new password", new_password_file, NEW)
    session.api.put("/auth/password", {"current_password": current, "new_password": new})
    session.show({}, lambda _: "the password is changed: sign in again with isthmus login")


@command(app, "reset", "isthmus password reset admin")
def reset(
    session: Session,
    username: Annotated[str, typer.Argument(metavar="USER", help="Whose password it is.")],
) -> None:
    """Give a user a new password, shown once. It works on the server's own machine only."""
    answer = session.api.post("/auth/password/reset", {"username": username})
    session.show(answer, lambda made: f"the new password of {username}, shown only now:\n\n{made['password']}")
