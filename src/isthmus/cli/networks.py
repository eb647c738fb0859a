"""`isthmus network`: create, list, show, update and delete networks, and their addresses."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from isthmus.cli import options, topology_text
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.lookup import network_path, peer_path
from isthmus.cli.options import limits_of, without_none
from isthmus.cli.session import Session
from isthmus.cli.text import Column, duration, fields, minute, table
from isthmus.domain.mesh.network import DirectPaths

app = noun("Networks: their CIDRs, settings and addresses.")

Name = Annotated[str, typer.Argument(metavar="NETWORK", help="Name or id of the network.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="An address inside the network.")]


@command(app, "create", "isthmus network create office --cidr 10.20.0.0/24")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A DNS label, for example office.")],
    cidr: Annotated[str | None, options.CIDR] = None,
    cidr_v6: Annotated[str | None, typer.Option(metavar="CIDR", help="A /64 of this backend's own range.")] = None,
    domain: Annotated[str | None, options.DOMAIN] = None,
    mtu: Annotated[int | None, options.MTU] = None,
    listen_port: Annotated[int | None, options.LISTEN_PORT] = None,
    keepalive: Annotated[int | None, options.KEEPALIVE] = None,
    direct_paths: Annotated[DirectPaths | None, options.DIRECT_PATHS] = None,
    key_max_age: Annotated[int | None, options.KEY_MAX_AGE] = None,
    limit: Annotated[list[str] | None, options.LIMIT] = None,
    dns_upstream: Annotated[list[str] | None, options.DNS_UPSTREAM] = None,
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Takes what is not given from it.")] = None,
) -> None:
    """Create a network. An IPv6 /64 comes with it."""
    given: dict[str, Any] = {"name": name, "cidr_v4": cidr, "cidr_v6": cidr_v6, "domain": domain, "mtu": mtu}
    given |= {"listen_port": listen_port, "keepalive": keepalive, "direct_paths": direct_paths and str(direct_paths)}
    given |= {"key_max_age": key_max_age, "limits": limits_of(limit)}
    given |= {"dns_upstreams": upstreams(dns_upstream)}
    given |= {"template": template}
    session.show(session.api.post("/networks", without_none(given)), details)


@command(app, "list", "isthmus network list --watch", options=LIST)
def list_all(session: Session) -> None:
    """List all networks."""
    networks = session.api.items("/networks")
    session.show({"items": networks, "next": None}, lambda page: overview(page["items"], session.width))


@command(app, "show", "isthmus network show office")
def show(session: Session, name: Name) -> None:
    """Show one network: its CIDRs, settings and capacity."""
    session.show(session.api.get(network_path(session.api, name)), details)


@command(app, "update", "isthmus network update office --mtu 1380")
def update(
    session: Session,
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    cidr: Annotated[str | None, typer.Option(metavar="CIDR", help="New IPv4 range: renumbers every peer.")] = None,
    domain: Annotated[str | None, options.DOMAIN] = None,
    mtu: Annotated[int | None, options.MTU] = None,
    listen_port: Annotated[int | None, options.LISTEN_PORT] = None,
    keepalive: Annotated[int | None, options.KEEPALIVE] = None,
    direct_paths: Annotated[DirectPaths | None, options.DIRECT_PATHS] = None,
    primary: Annotated[
        str | None, typer.Option(metavar="PEER", help="Jump peer to carry the traffic; auto: the server's choice.")
    ] = None,
    key_max_age: Annotated[int | None, options.KEY_MAX_AGE] = None,
    limit: Annotated[list[str] | None, options.LIMIT] = None,
    dns_upstream: Annotated[list[str] | None, options.DNS_UPSTREAM] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Renumber static peers too; lists who needs a config.")
    ] = False,
) -> None:
    """Change a network. What is not given stays as it is."""
    given: dict[str, Any] = {"name": new_name, "cidr_v4": cidr, "domain": domain, "mtu": mtu}
    given |= {"listen_port": listen_port, "keepalive": keepalive, "key_max_age": key_max_age}
    given |= {"dns_upstreams": upstreams(dns_upstream)}
    given |= {"force": True if force else None, "limits": limits_of(limit)}
    change = without_none(given | {"direct_paths": direct_paths and str(direct_paths)})
    if not change.keys() - {"force"} and primary is None:
        raise Misuse("nothing to change was given", "isthmus network update --help lists what can be")
    path = network_path(session.api, name)
    if primary is not None:
        change["primary_id"] = None if primary == "auto" else peer_path(session.api, primary, name).rpartition("/")[2]
    etag = session.api.read(path).etag
    session.show(session.api.patch(path, change, etag), after_update)


@command(app, "delete", "isthmus network delete office")
def delete(
    session: Session,
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Delete its peers too.")] = False,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Delete a network; one that has peers only with --force."""
    path = network_path(session.api, name)
    confirm(f"Delete network {name}{' and all its peers' if force else ''}?", yes=yes)
    session.api.delete(path, {"force": "true" if force else None})
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"network {name} is deleted")


@command(app, "capacity", "isthmus network capacity office")
def capacity(session: Session, name: Name) -> None:
    """Show how many addresses a network has, used and free."""
    session.show(session.api.get(f"{network_path(session.api, name)}/capacity"), capacities)


@command(app, "topology", "isthmus network topology office --watch", options=LIST)
def topology(session: Session, name: Name) -> None:
    """Show its peers, their ways to each other, and bridges."""
    found = session.api.get(f"{network_path(session.api, name)}/topology")
    session.show(found, lambda each: topology_text.overview(each, session.now, session.width))


@command(app, "suggest", "isthmus network suggest --peers 500")
def suggest(
    session: Session,
    peers: Annotated[int, typer.Option(help="How many peers are expected.")],
    pool: Annotated[str | None, typer.Option(metavar="CIDR", help="Where to look for a free range.")] = None,
) -> None:
    """Suggest a free CIDR for a number of peers."""
    answer = session.api.get("/network-suggestion", {"peers": peers, "pool": pool})
    session.show(answer, suggestion)


def suggestion(found: dict[str, Any]) -> str:
    return found["cidr_v4"] or f"no /{found['prefix']} is free there: look elsewhere with --pool"


@command(app, "reservations", "isthmus network reservations office", options=LIST)
def reservations(session: Session, name: Name) -> None:
    """List the addresses that no peer is given."""
    rows = session.api.items(f"{network_path(session.api, name)}/reservations")
    session.show({"items": rows, "next": None}, lambda page: reserved(page["items"], session.width))


@command(app, "reserve", "isthmus network reserve office 10.20.0.5 --note printer")
def reserve(
    session: Session,
    name: Name,
    address: Address,
    note: Annotated[str | None, typer.Option(help="What it is kept for.")] = None,
) -> None:
    """Keep an address from being given to a peer."""
    path = f"{network_path(session.api, name)}/reservations"
    answer = session.api.post(path, without_none({"address": address, "note": note}))
    session.show(answer, lambda _: f"{address} is reserved in {name}")


@command(app, "unreserve", "isthmus network unreserve office 10.20.0.5")
def unreserve(session: Session, name: Name, address: Address) -> None:
    """Give a reserved address back."""
    session.api.delete(f"{network_path(session.api, name)}/reservations/{quote(address, safe='')}")
    session.show({"deleted": address}, lambda _: f"{address} is free again in {name}")


@command(app, "ingress", "isthmus network ingress office --peer gw")
def ingress(
    session: Session,
    name: Name,
    peer: Annotated[str | None, typer.Option(metavar="PEER", help="The peer whose host runs the ingress.")] = None,
    port: Annotated[int | None, typer.Option(help="Where it listens; 8443 unless given.")] = None,
    off: Annotated[bool, typer.Option("--off", help="No ingress listens in this network.")] = False,
) -> None:
    """Show or say whose host runs the ingress inside a network."""
    path = f"{network_path(session.api, name)}/ingress"
    if off:
        if peer is not None or port is not None:
            raise Misuse("--off goes with no other option", "isthmus network ingress --help")
        session.api.delete(path)
        session.show({"withdrawn": name}, lambda _: f"no ingress listens in {name}")
        return
    if peer is None and port is not None:
        raise Misuse("--port goes with --peer", "isthmus network ingress office --peer gw --port 8443")
    if peer is None:
        session.show(session.api.get(path), listening)
        return
    given = {"peer_id": peer_path(session.api, peer, name).rpartition("/")[2], "port": port}
    session.show(session.api.put(path, without_none(given)), listening)


def listening(found: dict[str, Any]) -> str:
    places = [f"{f'[{each}]' if ':' in each else each}:{found['port']}" for each in found["addresses"]]
    return fields([("peer", found["peer"]["name"]), ("listens at", places), ("when", "while a bridge is effective")])


def upstreams(given: list[str] | None) -> list[str] | None:
    """What was given, without the empty one that stands for none."""
    return None if not given else [address for address in given if address]


def details(network: dict[str, Any]) -> str:
    shown = ("id", "name", "cidr_v4", "cidr_v6", "domain", "mtu", "listen_port", "keepalive", "revision")
    pairs: list[tuple[str, object]] = [(name, network.get(name)) for name in shown]
    pairs.append(("direct_paths", direct_paths_of(network)))
    pairs.append(("primary", (network.get("primary") or {}).get("name")))
    pairs.append(("keys", key_age(network.get("key_max_age"))))
    if limits := network.get("limits"):
        pairs.append(("limits", limits))
    pairs.append(("dns_upstreams", ", ".join(network["dns_upstreams"]) or "those of the jump peers' hosts"))
    pairs.append(("created", minute(network.get("created_at"))))
    return f"{fields(pairs)}\n\n{capacities(network['capacity'])}"


def direct_paths_of(network: dict[str, Any]) -> str:
    """The setting, and what it comes to where that is not what it says."""
    setting, effective = network.get("direct_paths"), "on" if network.get("has_direct_paths") else "off"
    return f"auto, {effective} now" if setting == "auto" else str(setting)


def key_age(seconds: int | None) -> str:
    return f"changed by their agents after {duration(seconds)}" if seconds else "not changed by age"


def capacities(capacity: dict[str, Any]) -> str:
    names = ("total", "used", "reserved", "held", "free")
    rows = [(f"IP{family}", *(_short(counts[name]) for name in names)) for family, counts in capacity.items() if counts]
    return table([Column("ADDRESSES"), *(Column(name.upper()) for name in names)], rows)


def _short(count: int) -> str:
    """A /64 has more addresses than anybody wants to read."""
    return str(count) if count < 10**9 else f"{count:.1e}"


def overview(networks: list[dict[str, Any]], width: int | None) -> str:
    if not networks:
        return "no networks yet: isthmus network create office --cidr 10.20.0.0/24"
    columns = [Column("NAME"), Column("CIDR V4"), Column("CIDR V6"), Column("USED"), Column("FREE")]
    rows = []
    for network in networks:
        counts = network["capacity"]["v4"] or network["capacity"]["v6"]
        row = (network["name"], network["cidr_v4"], network["cidr_v6"], counts["used"], _short(counts["free"]))
        rows.append(row)
    return table(columns, rows, width)


def reserved(rows: list[dict[str, Any]], width: int | None) -> str:
    if not rows:
        return "no addresses are reserved"
    return table(
        [Column("ADDRESS"), Column("NOTE", may_shrink=True)], [(r["address"], r.get("note")) for r in rows], width
    )


def after_update(network: dict[str, Any]) -> str:
    text = details(network)
    if peers := network.get("reissue"):
        commands = "\n".join(f"  isthmus peer regenerate {peer['name']} --network {network['name']}" for peer in peers)
        text += f"\n\nThese static peers need a new config:\n{commands}"
    return text
