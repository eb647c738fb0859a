"""Who may call what, on one screen. The server does not start with a route that is not listed here."""

from collections.abc import Iterable
from enum import Enum

from starlette.routing import BaseRoute, Route, WebSocketRoute

from isthmus.domain import accounts

API = "/api/v1"


class Need(Enum):
    """What a caller must bring. A scope does not imply another one; some calls are open to either of two."""

    NOTHING = None
    AGENT = "a session of an enrolled agent"
    READ = accounts.READ
    PEERS = accounts.PEERS
    WRITE = accounts.WRITE
    ADMIN = accounts.ADMIN
    AUDIT = accounts.AUDIT
    ACCOUNTS = accounts.ACCOUNTS
    METRICS = accounts.METRICS
    SELF = accounts.SELF
    LOCAL = "a connection over the server's own socket"

    def is_met_by(self, scopes: frozenset[str]) -> bool:
        return self.value in scopes or (self in OR_ELSE and OR_ELSE[self] in scopes)


OR_ELSE = {
    Need.PEERS: accounts.WRITE,
    Need.AUDIT: accounts.ADMIN,
    Need.SELF: accounts.ADMIN,
    Need.METRICS: accounts.READ,
}

# fmt: off
ACCESS: dict[tuple[str, str], Need] = {
    ("GET",    f"{API}/openapi.json"):                        Need.NOTHING,
    ("GET",    f"{API}/health/live"):                         Need.NOTHING,
    ("GET",    f"{API}/health/ready"):                        Need.NOTHING,
    ("GET",    f"{API}/setup"):                               Need.NOTHING,
    ("POST",   f"{API}/setup"):                               Need.NOTHING,
    ("GET",    "/metrics"):                                   Need.METRICS,
    ("POST",   f"{API}/auth/login"):                          Need.NOTHING,
    ("POST",   f"{API}/auth/session"):                        Need.NOTHING,
    ("GET",    f"{API}/session/oidc"):                        Need.NOTHING,
    ("POST",   f"{API}/session/oidc/start"):                  Need.NOTHING,
    ("POST",   f"{API}/session/oidc/finish"):                 Need.NOTHING,
    ("POST",   f"{API}/auth/logout"):                         Need.READ,
    ("GET",    f"{API}/auth/me"):                             Need.READ,
    ("PUT",    f"{API}/auth/password"):                       Need.SELF,
    ("POST",   f"{API}/auth/password/reset"):                 Need.LOCAL,
    ("GET",    f"{API}/tokens"):                              Need.SELF,
    ("POST",   f"{API}/tokens"):                              Need.SELF,
    ("DELETE", f"{API}/tokens/{{token_id}}"):                 Need.SELF,
    ("GET",    f"{API}/accounts"):                            Need.ACCOUNTS,
    ("POST",   f"{API}/accounts"):                            Need.ACCOUNTS,
    ("GET",    f"{API}/accounts/{{account_id}}"):             Need.ACCOUNTS,
    ("PATCH",  f"{API}/accounts/{{account_id}}"):             Need.ACCOUNTS,
    ("DELETE", f"{API}/accounts/{{account_id}}"):             Need.ACCOUNTS,
    ("POST",   f"{API}/accounts/{{account_id}}/password"):    Need.ACCOUNTS,
    ("GET",    f"{API}/networks"):                            Need.READ,
    ("POST",   f"{API}/networks"):                            Need.WRITE,
    ("GET",    f"{API}/networks/{{network_id}}"):             Need.READ,
    ("PATCH",  f"{API}/networks/{{network_id}}"):             Need.WRITE,
    ("DELETE", f"{API}/networks/{{network_id}}"):             Need.WRITE,
    ("GET",    f"{API}/networks/{{network_id}}/capacity"):    Need.READ,
    ("GET",    f"{API}/networks/{{network_id}}/topology"):    Need.READ,
    ("GET",    f"{API}/network-suggestion"):                  Need.READ,
    ("GET",    f"{API}/networks/{{network_id}}/reservations"):               Need.READ,
    ("POST",   f"{API}/networks/{{network_id}}/reservations"):               Need.WRITE,
    ("DELETE", f"{API}/networks/{{network_id}}/reservations/{{address}}"):   Need.WRITE,
    ("GET",    f"{API}/networks/{{network_id}}/ingress"):     Need.READ,
    ("PUT",    f"{API}/networks/{{network_id}}/ingress"):     Need.ADMIN,
    ("DELETE", f"{API}/networks/{{network_id}}/ingress"):     Need.WRITE,
    ("POST",   f"{API}/networks/{{network_id}}/peers"):       Need.PEERS,
    ("POST",   f"{API}/networks/{{network_id}}/peers/bulk"):  Need.WRITE,
    ("GET",    f"{API}/network-templates"):                   Need.READ,
    ("POST",   f"{API}/network-templates"):                   Need.WRITE,
    ("GET",    f"{API}/network-templates/{{template_id}}"):   Need.READ,
    ("PATCH",  f"{API}/network-templates/{{template_id}}"):   Need.WRITE,
    ("DELETE", f"{API}/network-templates/{{template_id}}"):   Need.WRITE,
    ("GET",    f"{API}/peers"):                               Need.READ,
    ("GET",    f"{API}/groups"):                              Need.READ,
    ("GET",    f"{API}/peers/{{peer_id}}"):                   Need.READ,
    ("PATCH",  f"{API}/peers/{{peer_id}}"):                   Need.PEERS,
    ("DELETE", f"{API}/peers/{{peer_id}}"):                   Need.PEERS,
    ("GET",    f"{API}/peers/{{peer_id}}/paths"):             Need.READ,
    ("POST",   f"{API}/peers/{{peer_id}}/enrollment-token"):  Need.PEERS,
    ("GET",    f"{API}/peers/{{peer_id}}/config"):            Need.PEERS,
    ("POST",   f"{API}/peers/{{peer_id}}/config/regenerate"): Need.PEERS,
    ("GET",    f"{API}/incidents"):                           Need.READ,
    ("GET",    f"{API}/incidents/{{incident_id}}"):           Need.READ,
    ("POST",   f"{API}/incidents/{{incident_id}}/resolve"):   Need.WRITE,
    ("POST",   f"{API}/peers/{{peer_id}}/rotate-key"):        Need.PEERS,
    ("DELETE", f"{API}/peers/{{peer_id}}/session"):           Need.PEERS,
    ("GET",    f"{API}/peers/{{peer_id}}/config-revisions"):  Need.READ,
    ("GET",    f"{API}/peers/{{peer_id}}/config-revisions/{{revision}}"):      Need.READ,
    ("GET",    f"{API}/peers/{{peer_id}}/config-revisions/{{revision}}/diff"): Need.READ,
    ("GET",    f"{API}/users"):                               Need.READ,
    ("POST",   f"{API}/users"):                               Need.WRITE,
    ("GET",    f"{API}/users/{{user_id}}"):                   Need.READ,
    ("PATCH",  f"{API}/users/{{user_id}}"):                   Need.WRITE,
    ("DELETE", f"{API}/users/{{user_id}}"):                   Need.WRITE,
    ("PUT",    f"{API}/users/{{user_id}}/visibility/{{remote}}"):            Need.WRITE,
    ("DELETE", f"{API}/users/{{user_id}}/visibility/{{remote}}"):            Need.WRITE,
    ("GET",    f"{API}/directory/lookup"):                    Need.READ,
    ("GET",    f"{API}/directory/search"):                    Need.READ,
    # Whoever may write may cut a remote off; to trust one, or one more thing of it, takes an administrator.
    ("GET",    f"{API}/certificates"):                         Need.READ,
    ("GET",    f"{API}/certificates/bundle"):                  Need.READ,
    ("GET",    f"{API}/certificates/{{certificate}}"):         Need.READ,
    ("POST",   f"{API}/certificates/renew"):                   Need.WRITE,
    ("POST",   f"{API}/certificates/roll"):                    Need.ADMIN,
    ("POST",   f"{API}/certificates/import"):                  Need.LOCAL,
    ("POST",   f"{API}/certificates/{{serial}}/revoke"):       Need.ADMIN,

    ("GET",    f"{API}/instances"):                            Need.READ,
    ("POST",   f"{API}/instances"):                            Need.ADMIN,
    ("GET",    f"{API}/instances/{{instance_id}}"):            Need.READ,
    ("POST",   f"{API}/instances/{{instance_id}}/renew"):      Need.ADMIN,
    ("POST",   f"{API}/instances/{{instance_id}}/revoke"):     Need.WRITE,

    ("GET",    f"{API}/federation"):                           Need.READ,
    ("POST",   f"{API}/federation/init"):                      Need.ADMIN,
    ("PATCH",  f"{API}/federation"):                           Need.ADMIN,
    ("GET",    f"{API}/findings"):                             Need.READ,
    ("GET",    f"{API}/remotes"):                              Need.READ,
    ("POST",   f"{API}/remotes"):                              Need.ADMIN,
    ("GET",    f"{API}/remotes/invitations"):                  Need.READ,
    ("POST",   f"{API}/remotes/invitations"):                  Need.ADMIN,
    ("DELETE", f"{API}/remotes/invitations/{{invitation_id}}"): Need.ADMIN,
    ("POST",   f"{API}/remotes/accept"):                       Need.ADMIN,
    ("GET",    f"{API}/remotes/{{domain}}"):                   Need.READ,
    ("PATCH",  f"{API}/remotes/{{domain}}"):                   Need.ADMIN,
    ("DELETE", f"{API}/remotes/{{domain}}"):                   Need.WRITE,
    ("POST",   f"{API}/remotes/{{domain}}/confirm"):           Need.ADMIN,
    ("POST",   f"{API}/remotes/{{domain}}/suspend"):           Need.WRITE,
    ("POST",   f"{API}/remotes/{{domain}}/resume"):            Need.ADMIN,
    ("POST",   f"{API}/remotes/{{domain}}/revoke"):            Need.WRITE,
    ("POST",   f"{API}/remotes/{{domain}}/doctor"):            Need.WRITE,
    ("GET",    f"{API}/remotes/{{domain}}/revocations"):       Need.READ,
    ("POST",   f"{API}/remotes/{{domain}}/revocations"):       Need.WRITE,
    ("GET",    f"{API}/remotes/{{domain}}/messages"):          Need.READ,
    ("POST",   f"{API}/remotes/{{domain}}/messages/retry"):    Need.WRITE,
    ("POST",   f"{API}/remotes/{{domain}}/messages/{{lane}}/{{number}}/drop"): Need.ADMIN,
    ("POST",   f"{API}/remotes/{{domain}}/instances/{{instance}}/block"): Need.WRITE,
    ("DELETE", f"{API}/remotes/{{domain}}/instances/{{instance}}/block"): Need.ADMIN,
    ("GET",    f"{API}/bridge-status"):                        Need.READ,
    ("GET",    f"{API}/bridges/{{bridge_id}}/status"):         Need.READ,
    # To narrow a grant is done by revoking it, which whoever may write can; all else may open something.
    ("GET",    f"{API}/grants"):                               Need.READ,
    ("POST",   f"{API}/grants"):                               Need.ADMIN,
    ("GET",    f"{API}/grants/held"):                          Need.READ,
    ("GET",    f"{API}/grants/{{grant_id}}"):                  Need.READ,
    ("PATCH",  f"{API}/grants/{{grant_id}}"):                  Need.ADMIN,
    ("POST",   f"{API}/grants/{{grant_id}}/revoke"):           Need.WRITE,
    ("POST",   f"{API}/grants/{{grant_id}}/rotate"):           Need.ADMIN,
    ("DELETE", f"{API}/grants/{{grant_id}}/tokens/{{public_id}}"): Need.WRITE,
    ("POST",   f"{API}/grants/{{grant_id}}/explain"):          Need.READ,
    ("GET",    f"{API}/services"):                             Need.READ,
    ("POST",   f"{API}/services"):                             Need.ADMIN,
    ("GET",    f"{API}/services/{{service_id}}"):              Need.READ,
    ("PATCH",  f"{API}/services/{{service_id}}"):              Need.ADMIN,
    ("DELETE", f"{API}/services/{{service_id}}"):              Need.WRITE,
    ("GET",    f"{API}/bridges"):                              Need.READ,
    ("POST",   f"{API}/bridges"):                              Need.ADMIN,
    ("GET",    f"{API}/bridges/{{bridge_id}}"):                Need.READ,
    ("POST",   f"{API}/bridges/{{bridge_id}}/accept"):         Need.ADMIN,
    ("POST",   f"{API}/bridges/{{bridge_id}}/suspend"):        Need.WRITE,
    ("POST",   f"{API}/bridges/{{bridge_id}}/resume"):         Need.ADMIN,
    ("POST",   f"{API}/bridges/{{bridge_id}}/hold"):           Need.WRITE,
    ("POST",   f"{API}/bridges/{{bridge_id}}/release"):        Need.ADMIN,
    ("POST",   f"{API}/bridges/{{bridge_id}}/revoke"):         Need.WRITE,
    ("POST",   f"{API}/bridges/{{bridge_id}}/accept-prefixes"): Need.ADMIN,
    ("GET",    f"{API}/audit"):                               Need.AUDIT,
    ("GET",    f"{API}/audit/chain"):                         Need.AUDIT,
    ("GET",    f"{API}/audit/seals"):                         Need.AUDIT,
    ("POST",   f"{API}/audit/witnesses/ask"):                 Need.ADMIN,
    ("WS",     f"{API}/events"):                              Need.READ,
    ("POST",   f"{API}/agent/enroll"):                        Need.NOTHING,
    ("GET",    f"{API}/agent/config"):                        Need.AGENT,
    ("POST",   f"{API}/agent/heartbeat"):                     Need.AGENT,
    ("POST",   f"{API}/agent/applied"):                       Need.AGENT,
    ("POST",   f"{API}/agent/rekey"):                         Need.AGENT,
    ("POST",   f"{API}/agent/instance"):                      Need.AGENT,
    ("WS",     f"{API}/agent/stream"):                        Need.AGENT,
}
# fmt: on

# What a caller who means some networks only may ask beside what names one of them: of lists it gets its part.
OF_SOME_NETWORKS = frozenset(
    {
        ("POST", f"{API}/auth/logout"),
        ("GET", f"{API}/auth/me"),
        ("PUT", f"{API}/auth/password"),
        ("GET", f"{API}/tokens"),
        ("POST", f"{API}/tokens"),
        ("DELETE", f"{API}/tokens/{{token_id}}"),
        ("GET", f"{API}/networks"),
        ("GET", f"{API}/peers"),
        ("GET", f"{API}/groups"),
        ("GET", f"{API}/incidents"),
        ("WS", f"{API}/events"),
    }
)


FEDERATED = "/federation"


class UnlistedRoute(RuntimeError):
    """The routes of the application and the access table differ."""


def listed(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Every (method, path) that `routes` answer; the HEAD that comes with a GET does not count."""
    found: set[tuple[str, str]] = set()
    for route in routes:
        if isinstance(route, WebSocketRoute):
            found.add(("WS", route.path))
        elif isinstance(route, Route):
            found |= {(method, route.path) for method in (route.methods or ()) if method != "HEAD"}
        else:
            raise UnlistedRoute(f"{route!r} is a kind of route that the access table cannot list")
    return found


def check_complete(routes: Iterable[BaseRoute]) -> None:
    """Refuse to start when a route lacks its row, or a row its route, or one is where calls of remotes are made: those
    are for the components, behind their gate."""
    found = listed(routes)
    if federated := sorted(key for key in found if key[1].startswith(FEDERATED)):
        raise UnlistedRoute(f"access table: calls of remotes are answered behind the gate alone, not by {federated}")
    missing, stale = found - ACCESS.keys(), ACCESS.keys() - found
    if missing or stale:
        raise UnlistedRoute(f"access table: no row for {sorted(missing)}, no route for {sorted(stale)}")
