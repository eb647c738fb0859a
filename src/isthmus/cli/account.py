"""`isthmus login`, `logout` and `whoami`: who the command line is to a server elsewhere."""

import os
from typing import Annotated, Any

import typer

from isthmus.cli import credentials
from isthmus.cli.ask import secret
from isthmus.cli.command import command, lone
from isthmus.cli.credentials import Login
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.session import Session
from isthmus.cli.targets import Target, parse_url
from isthmus.cli.text import fields, minute

login_app = lone()
logout_app = lone()
whoami_app = lone()


@command(login_app, "login", "isthmus login --server https://isthmus.example.com")
def login(
    session: Session,
    username: Annotated[str | None, typer.Option(help="Asked for if left out.")] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read the password from FILE, - for standard input.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keep the API token in FILE instead, - for standard input.")
    ] = None,
) -> None:
    """Sign in to a server elsewhere; later commands go to it by themselves."""
    server = session.server or os.environ.get("ISTHMUS_SERVER")
    if not server:
        raise Misuse("name the server: isthmus login --server URL", "this machine's own server needs no login")
    session.target = Target(parse_url(server, os.environ))
    made = _with_token(session, token_file) if token_file else _with_password(session, username, password_file)
    path = credentials.path_of(os.environ)
    known = credentials.load(path)
    known.servers[session.target.url] = made
    known.current = session.target.url
    credentials.save(path, known)
    until = f" until {minute(made.expires_at)}" if made.expires_at else ""
    answer = {"server": session.target.url, "user": made.user, "expires_at": made.expires_at}
    session.show(answer, lambda _: f"signed in to {session.target} as {made.user}{until}")


def _with_password(session: Session, username: str | None, password_file: str | None) -> Login:
    name = username or str(typer.prompt("Username", err=True))
    password = secret("password", password_file, "--password-file")
    answer = session.api.post("/auth/login", {"username": name, "password": password})
    return Login(answer["token"], name, answer["expires_at"])


def _with_token(session: Session, token_file: str) -> Login:
    token = secret("API token", token_file, "--token-file")
    session.target = Target(session.target.url, token=token)
    return Login(token, session.api.get("/auth/me")["user"]["name"])


@command(logout_app, "logout", "isthmus logout")
def logout(session: Session) -> None:
    """Sign out and forget the token."""
    path = credentials.path_of(os.environ)
    known = credentials.load(path)
    url = parse_url(session.server, os.environ) if session.server else known.current
    if url is None or url not in known.servers:
        raise Failure("you are not signed in anywhere" if url is None else f"you are not signed in to {url}")
    session.target = Target(url, token=known.servers.pop(url).token)
    if known.current == url:
        known.current = None
    # Forgotten here first: it has to be gone from this machine even if the server does not answer.
    credentials.save(path, known)
    session.api.post("/auth/logout")
    session.show({"server": url}, lambda _: f"signed out of {url}")


@command(whoami_app, "whoami", "isthmus whoami")
def whoami(session: Session) -> None:
    """Show who you are to the server, and which server that is."""

    def text(me: dict[str, Any]) -> str:
        return fields([("you", me["actor"]), ("scopes", me["scopes"]), ("server", session.target)])

    session.show(session.api.get("/auth/me"), text)
