"""The directory: people of this backend, who may see them, and people of others."""

from dataclasses import dataclass, replace
from uuid import UUID

from msgspec import UNSET

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation import directory as rules
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.directory import User, Visibility
from isthmus.domain.federation.names import BackendDomain, InstanceId, backend_domain, qualified
from isthmus.protocol import directory as wire
from isthmus.protocol.problem import Stage, problem
from isthmus.server.application import patch
from isthmus.server.application.caller import Caller
from isthmus.server.application.calls import Call, Component, Reading
from isthmus.server.application.networks import check_version
from isthmus.server.application.patch import Maybe, chosen
from isthmus.server.directory_ports import Instances
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Clock, HandleTaken, Ids, Store, Transaction
from isthmus.server.records import Page

COMPONENT = "directory"


@dataclass(frozen=True, slots=True)
class Draft:
    handle: str
    display_name: str = ""
    visibility: Visibility = Visibility.HANDLE


@dataclass(frozen=True, slots=True)
class Changes:
    handle: Maybe[str] = patch.UNSET
    display_name: Maybe[str] = patch.UNSET
    visibility: Maybe[Visibility] = patch.UNSET


@dataclass(frozen=True, slots=True)
class Profile:
    """A user of some backend: `id` means something together with `domain` only."""

    id: str
    handle: str
    domain: BackendDomain
    display_name: str


class DirectoryService:
    """What operators do with the people of this backend. The people themselves have no account here."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def create(self, caller: Caller, draft: Draft) -> User:
        now = self._clock.now()
        name = rules.parse_display_name(draft.display_name)
        user = User(self._ids.new(), rules.parse_handle(draft.handle), name, draft.visibility, now)
        try:
            async with self._store.transaction() as tx:
                await tx.directory.add(user)
                row = caller.did("directory.create", user.id, now, handle=user.handle, visibility=user.visibility.value)
                await tx.journal.audit([row])
        except HandleTaken:
            raise _taken() from None
        return user

    async def get(self, user_id: UUID) -> User:
        async with self._store.reading() as tx:
            return await tx.directory.get(user_id)

    async def page(self, page: Page, handle: str | None = None) -> list[User]:
        async with self._store.reading() as tx:
            return await tx.directory.page(page, handle)

    async def update(self, caller: Caller, user_id: UUID, changes: Changes, version: int | None) -> User:
        now = self._clock.now()
        try:
            async with self._store.transaction() as tx:
                before = await tx.directory.lock(user_id)
                check_version(before.version, version)
                after = replace(
                    before,
                    handle=rules.parse_handle(chosen(changes.handle, before.handle)),
                    display_name=rules.parse_display_name(chosen(changes.display_name, before.display_name)),
                    visibility=chosen(changes.visibility, before.visibility),
                )
                after = await _saved(tx, before, after)
                facts = {"handle": after.handle, "visibility": after.visibility.value}
                await tx.journal.audit([caller.did("directory.update", user_id, now, **facts)])
        except HandleTaken:
            raise _taken() from None
        return after

    async def delete(self, caller: Caller, user_id: UUID, version: int | None) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            user = await tx.directory.lock(user_id)
            check_version(user.version, version)
            await tx.directory.delete(user_id)
            await tx.journal.audit([caller.did("directory.delete", user_id, now, handle=user.handle)])

    async def override(self, caller: Caller, user_id: UUID, remote: str, visibility: Visibility | None) -> User:
        """Say for one remote what it may see, None to let it have what all others have."""
        now = self._clock.now()
        domain = backend_domain(remote, "/remote")
        async with self._store.transaction() as tx:
            before = await tx.directory.lock(user_id)
            overrides = {name: value for name, value in before.overrides.items() if name != domain}
            if visibility is not None:
                overrides[domain] = visibility
            if len(overrides) > rules.MOST_OVERRIDES:
                raise InvalidValue("/remote", f"is one more than the {rules.MOST_OVERRIDES} that a user can have")
            after = await _saved(tx, before, replace(before, overrides=overrides))
            facts = {"remote": domain, "visibility": visibility and visibility.value}
            await tx.journal.audit([caller.did("directory.visibility", user_id, now, **facts)])
        return after


async def _saved(tx: Transaction, before: User, after: User) -> User:
    if after == before:
        return before
    after = replace(after, version=before.version + 1)
    await tx.directory.save(after)
    return after


def _taken() -> InvalidValue:
    return InvalidValue("/handle", "is the handle of another user")


class LookupService:
    """People by their qualified handle, ours and those of other backends."""

    def __init__(self, store: Store, outward: Outward) -> None:
        self._store = store
        self._outward = outward

    async def lookup(self, caller: Caller, text: str) -> Profile:
        """Raises `NotFound` for somebody of ours, `RemoteRefused` for others, `TransitionNotAllowed` for everybody as
        long as this backend has no domain."""
        handle, domain = qualified(text)
        async with self._store.reading() as tx:
            if domain == await _own_domain(tx):
                user = await tx.directory.with_handle(handle)
                if user is None:
                    raise NotFound("user", text)
                return Profile(str(user.id), user.handle, domain, user.display_name)
        return await self._of_remote(caller, handle, domain)

    async def search(self, caller: Caller, begins: str, domain: BackendDomain) -> list[Profile]:
        """Those of a remote whose handle or name begins with that, as far as it shows them to us. Raises as `lookup`
        does."""
        async with self._store.reading() as tx:
            if domain == await _own_domain(tx):
                raise InvalidValue("/domain", "is this backend itself", "isthmus user list shows its people")
        errand = Errand(domain, COMPONENT, "search-users", caller.request_id)
        found = await self._outward.call(errand, wire.SearchUsers(begins), wire.FoundUsers)
        return [Profile(user.id, user.handle, domain, user.display_name) for user in found.users]

    async def _of_remote(self, caller: Caller, handle: str, domain: BackendDomain) -> Profile:
        errand = Errand(domain, COMPONENT, "get-user-by-handle", caller.request_id)
        try:
            found = await self._outward.call(errand, wire.GetUser(handle), wire.UserProfile)
        except RemoteRefused as refusal:
            raise _or_not_there(refusal, f"{handle}@{domain}") from None
        if found.handle != handle:
            raise _of_somebody_else(errand)
        # The domain that was asked and proven counts; what the body says of domains is text for people.
        return Profile(found.id, found.handle, domain, found.display_name)


async def _own_domain(tx: Transaction) -> BackendDomain:
    federation = await tx.federation.get()
    if federation is None:
        hint = "isthmus federation init --domain a.example --infra infra.a.example"
        raise TransitionNotAllowed("federation", "is not set up on this backend", hint)
    return federation.domain


def _or_not_there(refusal: RemoteRefused, who: str) -> RemoteRefused:
    """A remote that has no such user, or shows us none, is an answer and no fault of the way to it."""
    remote = refusal.problem.remote
    if remote is UNSET or remote.code != "not_found":
        return refusal
    detail = f"there is no user {who}, or its backend does not show it to this one"
    document = problem("not_found", Stage.REMOTE, refusal.problem.request_id, detail, remote=remote)
    return RemoteRefused(document)


def _of_somebody_else(errand: Errand) -> RemoteRefused:
    detail = f"{errand.domain} answered with the profile of somebody else"
    return RemoteRefused(problem("remote_protocol_error", Stage.FEDERATOR_OUT, errand.request_id, detail))


class DirectoryComponent:
    """What other backends ask of our directory."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def endpoints(self) -> Component:
        return {
            "get-user-by-handle": Reading(self._by_handle),
            "search-users": Reading(self._search),
            "get-instance": Reading(self._instance),
        }

    async def _by_handle(self, call: Call, tx: Transaction) -> wire.UserProfile:
        body: wire.GetUser = call.body
        user = await tx.directory.with_handle(body.handle)
        if user is None:
            raise _nobody(body.handle, "no_such_user")
        if not user.is_found_by_handle(BackendDomain(call.context.remote)):
            raise _nobody(body.handle, "not_visible")
        return profile_of(user, call.permit.own_domain)

    async def _search(self, call: Call, tx: Transaction) -> wire.FoundUsers:
        body: wire.SearchUsers = call.body
        remote = BackendDomain(call.context.remote)
        found = await tx.directory.beginning_with(body.begins, remote, body.limit)
        return wire.FoundUsers([profile_of(user, call.permit.own_domain) for user in found])

    async def _instance(self, call: Call, tx: Transaction) -> wire.Instance:
        body: wire.GetInstance = call.body
        name = self._instances.name_of(UUID(body.instance)) or await _issued(tx, InstanceId(UUID(body.instance)))
        if name is None:
            raise Denied("not_found", "no_such_instance", "this backend has no such instance")
        return wire.Instance(body.instance, name)


async def _issued(tx: Transaction, instance_id: InstanceId) -> str | None:
    """What an instance is called that an operator or an agent asked for."""
    try:
        instance = await tx.instances.get(instance_id)
    except NotFound:
        return None
    return instance.name if instance.is_live else None


def _nobody(handle: str, reason: str) -> Denied:
    """One answer for those who do not exist and those who are not shown: which it was, only the audit log says."""
    return Denied("not_found", reason, f"there is no user {handle}")


def profile_of(user: User, domain: BackendDomain) -> wire.UserProfile:
    return wire.UserProfile(str(user.id), user.handle, user.display_name, domain)
