"""The accounts of this server: who has one, with which role, and for which networks."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from isthmus.domain.accounts import Role, networks_of
from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.ids import NetworkId, UserId
from isthmus.server.application import secrets
from isthmus.server.application.accounts import check_has_password
from isthmus.server.application.caller import Caller
from isthmus.server.application.networks import check_version, named_fields
from isthmus.server.application.patch import UNSET, Maybe, Unset, chosen
from isthmus.server.ports import Clock, Ids, Passwords, Store, Transaction
from isthmus.server.records import User


@dataclass(frozen=True, slots=True)
class Draft:
    name: str
    role: Role
    networks: frozenset[NetworkId] = frozenset()


@dataclass(frozen=True, slots=True)
class Update:
    role: Maybe[Role] = UNSET
    networks: Maybe[frozenset[NetworkId]] = UNSET
    disabled: Maybe[bool] = UNSET


@dataclass(frozen=True, slots=True)
class Welcome:
    """An account with its password, at the only moment when that is known."""

    user: User
    password: str = field(repr=False)


class AccountBook:
    def __init__(self, store: Store, clock: Clock, ids: Ids, passwords: Passwords) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords

    async def all(self) -> list[User]:
        async with self._store.reading() as tx:
            return await tx.accounts.users()

    async def get(self, user_id: UserId) -> User:
        async with self._store.reading() as tx:
            return _found(await tx.accounts.users(), user_id)

    async def create(self, caller: Caller, draft: Draft) -> Welcome:
        """A new account with a random password."""
        now = self._clock.now()
        password = secrets.new_password()
        encoded = await self._passwords.hashed(password)
        networks = networks_of(draft.role, draft.networks)
        async with self._store.transaction() as tx:
            if any(each.name == draft.name for each in await tx.accounts.lock_users()):
                raise InvalidValue("/username", f"{draft.name!r} is the name of another account")
            await _check_exist(tx, networks)
            user = User(UserId(self._ids.new()), draft.name, encoded, now, draft.role, networks)
            await tx.accounts.add_user(user)
            facts = {"name": user.name, "role": user.role.value, "networks": _texts(networks)}
            await tx.journal.audit([caller.did("account.create", user.id, now, **facts)])
        return Welcome(user, password)

    async def update(self, caller: Caller, user_id: UserId, update: Update, version: int | None) -> User:
        """Another role, other networks, or an end of all access; each counts from the next call on."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            users = await tx.accounts.lock_users()
            before = _found(users, user_id)
            check_version(before.version, version)
            role = chosen(update.role, before.role)
            kept = before.networks if role.is_of_networks else frozenset[NetworkId]()
            networks = networks_of(role, chosen(update.networks, kept))
            await _check_exist(tx, networks - before.networks)
            disabled_at = before.disabled_at
            if not isinstance(update.disabled, Unset):
                disabled_at = (disabled_at or now) if update.disabled else None
            after = replace(before, role=role, networks=networks, disabled_at=disabled_at)
            if after == before:
                return before
            after = replace(after, version=before.version + 1)
            _check_owned([after if each.id == user_id else each for each in users])
            await tx.accounts.save_user(after)
            facts = {"role": role.value, "networks": _texts(networks), "disabled": disabled_at is not None}
            await tx.journal.audit([caller.did("account.update", user_id, now, fields=named_fields(update), **facts)])
        return after

    async def reset_password(self, caller: Caller, user_id: UserId) -> Welcome:
        """A new random password for who lost theirs; all tokens of the account end."""
        now = self._clock.now()
        password = secrets.new_password()
        encoded = await self._passwords.hashed(password)
        async with self._store.transaction() as tx:
            before = _found(await tx.accounts.lock_users(), user_id)
            check_has_password(before)
            after = replace(before, password_hash=encoded, awaits_setup=False, version=before.version + 1)
            await tx.accounts.save_user(after)
            await tx.accounts.delete_tokens_of(user_id)
            await tx.journal.audit([caller.did("account.password", user_id, now)])
        return Welcome(after, password)

    async def delete(self, caller: Caller, user_id: UserId, version: int | None) -> None:
        """Delete an account with all its tokens; what it did stays in the audit log under its name."""
        async with self._store.transaction() as tx:
            users = await tx.accounts.lock_users()
            user = _found(users, user_id)
            check_version(user.version, version)
            _check_owned([each for each in users if each.id != user_id])
            await tx.accounts.delete_user(user_id)
            await tx.journal.audit([caller.did("account.delete", user_id, self._clock.now(), name=user.name)])


def _found(users: Iterable[User], user_id: UserId) -> User:
    for user in users:
        if user.id == user_id:
            return user
    raise NotFound("account", str(user_id))


def _check_owned(users: Iterable[User]) -> None:
    """Somebody must be left who can give access to others."""
    if not any(user.role is Role.OWNER and user.disabled_at is None for user in users):
        raise TransitionNotAllowed(
            "the last owner", "would be gone, and nobody could manage accounts", "make another account an owner first"
        )


async def _check_exist(tx: Transaction, networks: frozenset[NetworkId]) -> None:
    unknown = networks - {each.id for each in await tx.networks.all()} if networks else networks
    if unknown:
        raise InvalidValue("/networks", f"there is no network {min(unknown)}", "isthmus network list")


def _texts(networks: Iterable[NetworkId]) -> list[str]:
    return sorted(map(str, networks))
