"""`isthmus template`: settings that new networks start with, under a name."""

from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.lookup import template_path
from isthmus.cli.networks import upstreams
from isthmus.cli.options import limits_of, without_none
from isthmus.cli.session import Session
from isthmus.cli.text import Column, cell, duration, fields, minute, table
from isthmus.domain.mesh.network import DirectPaths

app = noun("Templates: settings for new networks, under a name.")

Name = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Name or id of the template.")]
Suffix = Annotated[str | None, typer.Option(help="The domain of its networks is NAME.SUFFIX.")]
Prefix = Annotated[int | None, typer.Option(metavar="BITS", help="Its networks get a free IPv4 CIDR of this size.")]
Pool = Annotated[str | None, typer.Option(metavar="CIDR", help="Where the CIDRs come from, 10.0.0.0/8 if not given.")]


@command(app, "create", "isthmus template create office --mtu 1380 --cidr-prefix 24")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A DNS label, for example office.")],
    mtu: Annotated[int | None, options.MTU] = None,
    listen_port: Annotated[int | None, options.LISTEN_PORT] = None,
    keepalive: Annotated[int | None, options.KEEPALIVE] = None,
    direct_paths: Annotated[DirectPaths | None, options.DIRECT_PATHS] = None,
    key_max_age: Annotated[int | None, options.KEY_MAX_AGE] = None,
    dns_upstream: Annotated[list[str] | None, options.DNS_UPSTREAM] = None,
    limit: Annotated[list[str] | None, options.LIMIT] = None,
    domain_suffix: Suffix = None,
    cidr_prefix: Prefix = None,
    cidr_pool: Pool = None,
) -> None:
    """Create a template. What is not given is left to the defaults."""
    given: dict[str, Any] = {"name": name, "mtu": mtu, "listen_port": listen_port, "keepalive": keepalive}
    given |= {"direct_paths": direct_paths and str(direct_paths), "domain_suffix": domain_suffix}
    given |= {"key_max_age": key_max_age, "dns_upstreams": upstreams(dns_upstream), "limits": limits_of(limit)}
    given |= {"cidr_prefix": cidr_prefix, "cidr_pool": cidr_pool}
    session.show(session.api.post("/network-templates", without_none(given)), details)


@command(app, "list", "isthmus template list", options=LIST)
def list_all(session: Session) -> None:
    """List all templates."""
    templates = session.api.items("/network-templates")
    session.show({"items": templates, "next": None}, lambda page: overview(page["items"], session.width))


@command(app, "show", "isthmus template show office")
def show(session: Session, name: Name) -> None:
    """Show one template."""
    session.show(session.api.get(template_path(session.api, name)), details)


@command(app, "update", "isthmus template update office --mtu 1400")
def update(
    session: Session,
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    mtu: Annotated[int | None, options.MTU] = None,
    listen_port: Annotated[int | None, options.LISTEN_PORT] = None,
    keepalive: Annotated[int | None, options.KEEPALIVE] = None,
    direct_paths: Annotated[DirectPaths | None, options.DIRECT_PATHS] = None,
    key_max_age: Annotated[int | None, options.KEY_MAX_AGE] = None,
    dns_upstream: Annotated[list[str] | None, options.DNS_UPSTREAM] = None,
    limit: Annotated[list[str] | None, options.LIMIT] = None,
    domain_suffix: Suffix = None,
    cidr_prefix: Prefix = None,
    cidr_pool: Pool = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="SETTING", help="Leave a setting to the default, for example mtu.")
    ] = None,
) -> None:
    """Change a template. Networks that were made with it stay as they are."""
    given: dict[str, Any] = {"name": new_name, "mtu": mtu, "listen_port": listen_port, "keepalive": keepalive}
    given |= {"direct_paths": direct_paths and str(direct_paths), "domain_suffix": domain_suffix}
    given |= {"key_max_age": key_max_age, "dns_upstreams": upstreams(dns_upstream), "limits": limits_of(limit)}
    given |= {"cidr_prefix": cidr_prefix, "cidr_pool": cidr_pool}
    change = without_none(given) | {setting.replace("-", "_"): None for setting in unset or ()}
    if not change:
        raise Misuse("nothing to change was given", "isthmus template update --help lists what can be")
    path = template_path(session.api, name)
    session.show(session.api.patch(path, change, session.api.read(path).etag), details)


@command(app, "delete", "isthmus template delete office")
def delete(session: Session, name: Name, yes: Annotated[bool, options.YES] = False) -> None:
    """Delete a template. Networks that were made with it stay as they are."""
    path = template_path(session.api, name)
    confirm(f"Delete template {name}?", yes=yes)
    session.api.delete(path)
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"template {name} is deleted")


def details(template: dict[str, Any]) -> str:
    pairs: list[tuple[str, object]] = [("id", template["id"]), ("name", template["name"])]
    return fields([*pairs, *readable(template["settings"]).items(), ("created", minute(template["created_at"]))])


def readable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they are given on the command line: ages in their units, lists and limits in one text."""
    age = settings.get("key_max_age")
    return settings | ({"key_max_age": duration(age)} if age else {})


def overview(templates: list[dict[str, Any]], width: int | None) -> str:
    if not templates:
        return "no templates yet: isthmus template create office --mtu 1380"
    columns = [Column("NAME"), Column("SETTINGS", may_shrink=True)]
    return table(columns, [(each["name"], in_one_line(each["settings"])) for each in templates], width)


def in_one_line(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} ({cell(value)})" if isinstance(value, dict) else f"{name}={cell(value)}"
        for name, value in readable(settings).items()
    )
