"""Options that several commands share, and how their text is read."""

from collections.abc import Mapping
from dataclasses import fields

import typer

from isthmus.cli.errors import Misuse
from isthmus.cli.text import parse_duration
from isthmus.domain.mesh.limits import Limits
from isthmus.protocol.places import MOST_REPLICAS


def read_duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


LIFETIME = typer.Option(parser=read_duration, metavar="DURATION", help="How long it is valid, for example 12h or 30d.")
SETTINGS = typer.Option("--config", metavar="FILE", help="Settings of the server in TOML.")
DATA_DIR = typer.Option("--data-dir", metavar="FOLDER", help="Where the server keeps its data. [env: ISTHMUS_DATA_DIR]")
LISTEN = typer.Option("--listen", metavar="ADDRESS:PORT", help="Where it is reached. [env: ISTHMUS_LISTEN]")
REPLICA = typer.Option("--replica", min=1, max=MOST_REPLICAS, metavar="N", help="Which one of several beside a server.")
YES = typer.Option("--yes", "-y", help="Do not ask.")

PEER = typer.Argument(metavar="PEER", help="Name or id of the peer.")
OF_NETWORK = typer.Option(metavar="NETWORK", help="Its network, if several have a peer of that name.")
ENDPOINT = typer.Option(metavar="HOST:PORT", help="Where it is reached by UDP.")
ALLOWED_IPS = typer.Option(metavar="CIDR", help="A subnet behind it; may be given more than once.")
OWNER = typer.Option(help="Whose it is.")
LABEL = typer.Option(metavar="KEY=VALUE", help="A label; may be given more than once.")
GROUP = typer.Option(metavar="NAME", help="A group that it is in; may be given more than once.")
IN_GROUP = typer.Option(metavar="NAME", help="Only peers of this group.")
WITH_LABEL = typer.Option(metavar="KEY=VALUE", help="Only peers with this label; may be given more than once.")

OUTPUT = typer.Option(metavar="FILE", help="Write the config to FILE, mode 0600, instead of standard output.")
REPLACE = typer.Option("--force", help="Replace FILE if it exists.")
QR = typer.Option("--qr", help="Draw the QR code even where no terminal is.")

CIDR = typer.Option("--cidr", metavar="CIDR", help="IPv4 range of the network.")
DOMAIN = typer.Option(help="DNS domain of its peers.")
MTU = typer.Option(help="MTU of the tunnels, in bytes.")
LISTEN_PORT = typer.Option(help="UDP port of the jump peers.")
LIMITS = tuple(limit.name for limit in fields(Limits))
LIMIT = typer.Option(metavar="NAME=NUMBER", help=f"How much change is no incident: {', '.join(LIMITS)}.")
DIRECT_PATHS = typer.Option(help="Do agents look for ways past the jump peers? auto: if they are 500 or fewer.")
KEY_MAX_AGE = typer.Option(
    parser=read_duration, metavar="DURATION", help="Have agents change their keys this often, from 1h on; 0 for never."
)
DNS_UPSTREAM = typer.Option(
    "--dns-upstream",
    metavar="ADDRESS",
    help="A server for all names but the network's; may be given more than once, '' for what jump peers use.",
)
KEEPALIVE = typer.Option(help="Seconds between keepalives, 0 for none.")


def without_none(body: Mapping[str, object]) -> dict[str, object]:
    """What was given on the command line; the server knows the defaults of the rest."""
    return {name: value for name, value in body.items() if value is not None}


def limits_of(texts: list[str] | None) -> dict[str, int] | None:
    """Texts of the form `name=number`; the server knows which numbers are too low or too high."""
    limits = {}
    for text in texts or ():
        name, _, number = text.partition("=")
        if not name or not (number.isascii() and number.isdecimal()) or len(number) > 9:
            raise Misuse(f"{text!r} is not a limit", "write NAME=NUMBER, for example address_changes=20")
        if name not in LIMITS:
            raise Misuse(f"there is no limit {name}", f"use one of: {', '.join(LIMITS)}")
        limits[name] = int(number)
    return limits or None


def with_labels(present: dict[str, str], texts: list[str]) -> dict[str, str]:
    """`present` changed by texts of the form `key=value`; `key=` takes that label away."""
    labels = dict(present)
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise Misuse(f"{text!r} is not a label", "write KEY=VALUE, for example site=berlin")
        labels[key] = value
    return {key: value for key, value in labels.items() if value}
