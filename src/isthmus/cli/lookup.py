"""What a user calls something, turned into the object of the API: names and ids both work."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from isthmus.cli.errors import Failure, Misuse

if TYPE_CHECKING:
    from isthmus.cli.client import Client


def network_id(api: "Client", name: str) -> str:
    return id_of(name) or str(_network_named(api, name)["id"])


def network_path(api: "Client", name: str) -> str:
    return f"/networks/{network_id(api, name)}"


def peer_path(api: "Client", name: str, network: str | None) -> str:
    """The path of a peer; `network` is needed when several networks have a peer of that name."""
    if found := id_of(name):
        return f"/peers/{found}"
    peers = api.items("/peers", {"name": name, "network": network and network_id(api, network)})
    if not peers:
        where = f" in network {network}" if network else ""
        raise Failure(f"there is no peer {name}{where}", "isthmus peer list shows those that exist")
    if len(peers) > 1:
        networks = ", ".join(sorted(peer["network"]["name"] for peer in peers))
        raise Misuse(f"several networks have a peer {name}: {networks}", "say which one you mean with --network")
    return f"/peers/{peers[0]['id']}"


def template_path(api: "Client", name: str) -> str:
    if found := id_of(name):
        return f"/network-templates/{found}"
    for template in api.items("/network-templates", {"name": name}):
        return f"/network-templates/{template['id']}"
    raise Failure(f"there is no template {name}", "isthmus template list shows those that exist")


def service_id(api: "Client", name: str) -> str:
    if found := id_of(name):
        return found
    for service in api.items("/services"):
        if service["name"] == name:
            return str(service["id"])
    raise Failure(f"there is no service {name}", "isthmus service list shows those that exist")


def token_path(api: "Client", name: str) -> str:
    """The path of an API token named by its name, its prefix or its id."""
    if found := id_of(name):
        return f"/tokens/{found}"
    tokens = [token for token in api.items("/tokens") if name in {token["name"], token["prefix"]}]
    if not tokens:
        raise Failure(f"there is no API token {name}", "isthmus token list shows those that exist")
    if len(tokens) > 1:
        prefixes = ", ".join(token["prefix"] for token in tokens)
        raise Misuse(f"several API tokens are called {name}", f"name one by its prefix: {prefixes}")
    return f"/tokens/{tokens[0]['id']}"


def _network_named(api: "Client", name: str) -> Any:
    for network in api.items("/networks", {"name": name}):
        return network
    raise Failure(f"there is no network {name}", "isthmus network list shows those that exist")


def id_of(text: str) -> str | None:
    """`text` as an id, None where it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
