"""Accounts: what each role may do, and whether everywhere or in some networks only."""

from collections.abc import Iterable
from enum import StrEnum

from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import NetworkId

READ, PEERS, WRITE, ADMIN, AUDIT, ACCOUNTS, SELF = "read", "peers", "write", "admin", "audit", "accounts", "self"
METRICS = "metrics"
ALL_SCOPES = frozenset({READ, PEERS, WRITE, ADMIN, AUDIT, ACCOUNTS, SELF, METRICS})
# What an API token may be given. To change the password and to make tokens takes a sign-in, or `admin`.
TOKEN_SCOPES = ALL_SCOPES - {SELF}
MOST_NETWORKS = 256


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    NETWORK_ADMIN = "network_admin"
    AUDITOR = "auditor"
    USER = "user"

    @property
    def scopes(self) -> frozenset[str]:
        return SCOPES[self]

    @property
    def is_of_networks(self) -> bool:
        """Whether it means the networks that its account names, and no others."""
        return self in {Role.NETWORK_ADMIN, Role.USER}


SCOPES = {
    Role.OWNER: ALL_SCOPES,
    Role.ADMIN: ALL_SCOPES - {ACCOUNTS},
    Role.NETWORK_ADMIN: frozenset({READ, PEERS, WRITE, SELF}),
    Role.AUDITOR: frozenset({READ, AUDIT, SELF, METRICS}),
    Role.USER: frozenset({READ, PEERS, SELF}),
}


def networks_of(role: Role, networks: Iterable[NetworkId]) -> frozenset[NetworkId]:
    """The networks that an account with this role names. Raises `InvalidValue` where the role has no use for them."""
    named = frozenset(networks)
    if named and not role.is_of_networks:
        raise InvalidValue("/networks", f"do not go with the role {role}, which is for all networks", "leave them out")
    if len(named) > MOST_NETWORKS:
        raise InvalidValue("/networks", f"are more than {MOST_NETWORKS}", "make the account an admin")
    return named
