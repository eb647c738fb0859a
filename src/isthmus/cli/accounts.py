"""`isthmus account`: who may sign in to this server, and what each may do."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.lookup import id_of, network_id
from isthmus.cli.options import without_none
from isthmus.cli.session import Session
from isthmus.cli.text import Column, fields, minute, table
from isthmus.domain.accounts import Role

if TYPE_CHECKING:
    from isthmus.cli.client import Client

app = noun("Accounts: who may sign in here, with which role, for which networks.")

Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of the account.")]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="NETWORK", help="A network that the role is for; may be given more than once."),
]


@command(app, "create", "isthmus account create ada --role network_admin --network office")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the account signs in with.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    network: Networks = None,
) -> None:
    """Create an account; its password is shown once."""
    networks = [network_id(session.api, each) for each in network or ()]
    made = session.api.post("/accounts", {"username": name, "role": role.value, "networks": networks})
    session.show(made, welcome)


@command(app, "list", "isthmus account list", options=LIST)
def list_all(session: Session) -> None:
    """List the accounts of this server."""
    accounts = session.api.items("/accounts")
    networks = _names(session.api)
    session.show({"items": accounts, "next": None}, lambda page: overview(page["items"], networks, session.width))


@command(app, "show", "isthmus account show ada")
def show(session: Session, account: Who) -> None:
    """Show one account."""
    shown, networks = session.api.get(account_path(session.api, account)), _names(session.api)
    session.show(shown, lambda each: details(each, networks))


@command(app, "set", "isthmus account set ada --role user --network office --network plant")
def set_(
    session: Session,
    account: Who,
    role: Annotated[Role | None, typer.Option(help="What it may do from now on.")] = None,
    network: Networks = None,
) -> None:
    """Change the role of an account, or its networks.

    The networks that are given replace those that it has.
    """
    networks = None if network is None else [network_id(session.api, each) for each in network]
    change = without_none({"role": role and role.value, "networks": networks})
    if not change:
        raise Misuse("nothing to change was given", "isthmus account set --help lists what can be")
    _change(session, account, change)


@command(app, "disable", "isthmus account disable ada")
def disable(session: Session, account: Who, yes: Annotated[bool, options.YES] = False) -> None:
    """End all access of an account at once; what it is stays."""
    confirm(f"Disable account {account}? Its sessions, tokens and streams end at once.", yes=yes)
    _change(session, account, {"disabled": True})


@command(app, "enable", "isthmus account enable ada")
def enable(session: Session, account: Who) -> None:
    """Let a disabled account in again."""
    _change(session, account, {"disabled": False})


@command(app, "password", "isthmus account password ada")
def password(session: Session, account: Who, yes: Annotated[bool, options.YES] = False) -> None:
    """Give an account a new password, shown once.

    All its sessions and tokens end.
    """
    path = account_path(session.api, account)
    confirm(f"Reset the password of account {account}? Its sessions and tokens end.", yes=yes)
    session.show(session.api.post(f"{path}/password"), welcome)


@command(app, "delete", "isthmus account delete ada")
def delete(session: Session, account: Who, yes: Annotated[bool, options.YES] = False) -> None:
    """Delete an account with its sessions and tokens."""
    path = account_path(session.api, account)
    confirm(f"Delete account {account}?", yes=yes)
    session.api.delete(path)
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"account {account} is deleted")


def account_path(api: "Client", name: str) -> str:
    if found := id_of(name):
        return f"/accounts/{found}"
    for account in api.items("/accounts"):
        if account["name"] == name:
            return f"/accounts/{account['id']}"
    raise Failure(f"there is no account {name}", "isthmus account list shows those that exist")


def _change(session: Session, account: str, change: dict[str, object]) -> None:
    path = account_path(session.api, account)
    changed = session.api.patch(path, change, session.api.read(path).etag)
    networks = _names(session.api)
    session.show(changed, lambda each: details(each, networks))


def _names(api: "Client") -> dict[str, str]:
    return {each["id"]: each["name"] for each in api.items("/networks")}


def welcome(made: dict[str, Any]) -> str:
    account = made["account"]
    return (
        f"account {account['name']} ({account['role']}) signs in with this password, which is shown only now:\n\n"
        f"{made['password']}\n\n"
        "Whoever gets it changes it with: isthmus password change"
    )


def details(account: dict[str, Any], networks: dict[str, str]) -> str:
    return fields(
        [
            ("id", account["id"]),
            ("name", account["name"]),
            ("role", account["role"]),
            ("networks", _where(account, networks)),
            ("state", _state(account)),
            ("created", minute(account["created_at"])),
        ]
    )


def overview(accounts: list[dict[str, Any]], networks: dict[str, str], width: int | None) -> str:
    columns = [Column("NAME"), Column("ROLE"), Column("NETWORKS", may_shrink=True), Column("STATE")]
    rows = [(each["name"], each["role"], _where(each, networks), _state(each)) for each in accounts]
    return table(columns, rows, width)


def _where(account: dict[str, Any], networks: dict[str, str]) -> str:
    if not Role(account["role"]).is_of_networks:
        return "all"
    return ", ".join(networks.get(each, each) for each in account["networks"]) or "none"


def _state(account: dict[str, Any]) -> str:
    return f"disabled since {minute(account['disabled_at'])}" if account["disabled_at"] else "active"
