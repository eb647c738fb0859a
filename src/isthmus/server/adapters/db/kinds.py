"""What the tables hold that belong to no network, as people call it; a commit tells which kinds it wrote."""

from collections.abc import Iterable

# The mesh tells of its own changes with their revisions; of what is not here nobody shows a page.
KINDS = {
    "federation": "federation",
    "overlay_ingresses": "federation",
    "remotes": "remote",
    "acceptances": "remote",
    "remote_instances": "remote",
    "revocations": "remote",
    "outbox": "remote",
    "outbox_lanes": "remote",
    "invitations": "invitation",
    "remote_findings": "finding",
    "bridges": "bridge",
    "crossings": "bridge",
    "grants": "grant",
    "grant_tokens": "grant",
    "held_grants": "grant",
    "services": "service",
    "own_instances": "instance",
    "instance_leaves": "instance",
    "network_templates": "template",
    "directory_users": "directory",
    "directory_overrides": "directory",
    "users": "user",
    "api_tokens": "token",
}

# What the map of a network is made of; what moves on it by itself, such as statuses, is looked up for each answer.
MAP = frozenset({"networks", "peers", "offers", "peer_groups", "blocked_peers", "enrollment_tokens", "bridges"})


def is_of_map(tables: Iterable[str]) -> bool:
    return not MAP.isdisjoint(tables)


def kinds_of(tables: Iterable[str]) -> frozenset[str]:
    return frozenset(KINDS[table] for table in tables if table in KINDS)
