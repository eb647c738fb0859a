"""What a host holds at this moment that a bridge could have left there: rules, routes, tunnels, listeners."""

import json
from typing import Any

from lab.host import Host
from lab.mesh import Member


def rules(host: Host) -> str:
    """All nftables rules of a host, without their counters."""
    return host.run(["nft", "--stateless", "list", "ruleset"]).stdout


def routes(host: Host) -> set[str]:
    """The destinations that a host has a route to, in all tables; those to itself do not count."""
    found: set[str] = set()
    for family in ("-4", "-6"):
        told: list[dict[str, Any]] = json.loads(
            host.run(["ip", family, "--json", "route", "show", "table", "all"]).stdout
        )
        found |= {each["dst"] for each in told if each.get("type", "unicast") == "unicast"}
    return found


def allowed_ips(member: Member) -> dict[str, set[str]]:
    """Of each WireGuard peer on a member's interface, by public key."""
    lines = member.host.run(["wg", "show", member.interface, "allowed-ips"]).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    return {key: set(prefixes.split()) - {"(none)"} for key, prefixes in rows}


def handshakes(member: Member) -> dict[str, int]:
    """When each WireGuard peer was heard last, in seconds since 1970; 0 for never."""
    lines = member.host.run(["wg", "show", member.interface, "latest-handshakes"]).stdout.splitlines()
    return {key: int(at) for key, _, at in (line.partition("\t") for line in lines)}


def public_key(member: Member) -> str:
    return member.host.run(["wg", "show", member.interface, "public-key"]).stdout.strip()


def listeners(host: Host) -> set[str]:
    """Addresses with ports where a host listens by TCP, such as `[fd00::1]:8443`."""
    lines = host.run(["ss", "--no-header", "--tcp", "--listening", "--numeric"]).stdout.splitlines()
    return {line.split()[3] for line in lines}
