"""Organisations that get to know each other by their APIs, without the time that commands take to start."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from lab.organisation import FOLLOW_SECONDS, PORT, Organisation, both
from lab.waiting import wait_until


def at_once(works: Iterable[Callable[[], Any]]) -> list[Any]:
    """Do all of this at the same time and return what came of each; what fails is raised."""
    with ThreadPoolExecutor() as pool:
        return [done.result() for done in [pool.submit(work) for work in works]]


def initialise(site: Organisation, *more: str) -> None:
    """`isthmus federation init`, with `more` infra domains."""
    body = {"domain": site.domain, "infra_domains": [site.infra, *more], "listen": f"{site.host.ipv4}:{PORT}"}
    site.api.post("/federation/init", json=body).raise_for_status()


def second_infra(site: Organisation) -> str:
    """Another name that its certificates carry and that the other side has pinned; DNS says nothing of it."""
    return f"infra2.{site.domain}"


def make_ready(sites: Sequence[Organisation]) -> None:
    """Have each of them ready to federate, with two infra domains, and found by DNS."""
    at_once(site.await_server for site in sites)
    at_once(partial(initialise, site, second_infra(site)) for site in sites)
    for site in sites:
        site.publish()
    at_once(site.await_ingress for site in sites)


def acquaint(inviting: Organisation, accepting: Organisation) -> None:
    """The journey of two operators, likewise; `lab.organisation.federate` types the commands."""
    invited = inviting.api.post("/remotes/invitations", json={"domain": accepting.domain}).raise_for_status().json()
    accepted = accepting.api.post("/remotes/accept", json={"invitation": invited["text"]}).raise_for_status().json()
    if accepted["problem"] is not None:
        raise AssertionError(f"{accepting.domain} cannot accept: {accepted}")
    for one, two in both(inviting, accepting):
        code = one.await_remote(two, "pending")["short_code"]
        one.api.post(f"/remotes/{two.domain}/confirm", json={"short_code": code}).raise_for_status()
    for one, two in both(inviting, accepting):
        one.await_remote(two, "active")
        wait_until(partial(has_told_all, one, two), within=FOLLOW_SECONDS, what=f"{two.domain} to have heard all")


def has_told_all(one: Organisation, two: Organisation) -> bool:
    """Whether no message for the other side waits any more: what is sent later would look like a test's doing."""
    return not one.api.get(f"/remotes/{two.domain}/messages").raise_for_status().json()["items"]
