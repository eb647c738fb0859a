"""Signing in with an identity provider: the first time makes an account, and what it may do is said here."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from isthmus.domain.accounts import Role
from isthmus.domain.errors import NotFound, Unauthenticated
from isthmus.domain.ids import UserId
from isthmus.server.application.accounts import AccountService, Issued
from isthmus.server.application.caller import Caller
from isthmus.server.identity_ports import Flow, Identity, IdentityProvider
from isthmus.server.ports import Clock, Ids, Store, Transaction
from isthmus.server.records import User

LONGEST_NAME = 56  # of 63, so that a number fits behind


@dataclass(frozen=True, slots=True)
class Way:
    """How people come in: `name` is what they know the provider by, `role` what those get for whom `roles` has none."""

    provider: IdentityProvider
    name: str
    role: Role
    roles: Mapping[str, Role]

    def role_of(self, identity: Identity) -> Role:
        return next((role for group, role in self.roles.items() if group in identity.groups), self.role)


@dataclass(frozen=True, slots=True)
class Begun:
    """A browser keeps `secret` and goes to `address`."""

    secret: str = field(repr=False)
    address: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser has come back with."""

    code: str = field(repr=False)
    state: str
    issuer: str | None = None


class IdentityService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, accounts: AccountService, way: Way | None) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._accounts = accounts
        self._way = way

    @property
    def is_there(self) -> bool:
        return self._way is not None

    def way(self) -> Way:
        """Raises `NotFound` where all accounts are local ones."""
        if self._way is None:
            raise NotFound("identity provider", "in the settings of this server")
        return self._way

    async def begin(self, redirect_uri: str) -> Begun:
        """The address where a browser signs in, for this browser alone. Raises `ProviderUnavailable`."""
        secret = secrets.token_urlsafe(32)
        return Begun(secret, await self.way().provider.address(Flow(secret, redirect_uri)))

    async def finish(self, caller: Caller, flow: Flow | None, answer: Answer) -> tuple[User, Issued]:
        """A session of 12 hours for who has come back from signing in.

        Raises `Unauthenticated` where this browser did not begin it, or the provider does not vouch for it, or the
        account is disabled; `ProviderUnavailable`.
        """
        provider = self.way().provider
        if flow is None or not secrets.compare_digest(flow.state.encode(), answer.state.encode("utf-8", "replace")):
            raise Unauthenticated("this sign-in was not begun in this browser, or too long ago: begin it again")
        identity = await provider.exchanged(flow, answer.code)
        if answer.issuer not in {None, identity.issuer}:
            raise Unauthenticated("the answer is of another issuer")
        user = await self._account_of(caller, identity)
        return user, await self._accounts.signed_in(caller, user)

    async def authenticate(self, caller: Caller, token: str) -> tuple[User, Identity]:
        """Whose token of the provider's it is. Raises `Unauthenticated` or `ProviderUnavailable`."""
        identity = await self.way().provider.vouched(token)
        return await self._account_of(caller, identity), identity

    async def _account_of(self, caller: Caller, identity: Identity) -> User:
        async with self._store.reading() as tx:
            user = await tx.accounts.user_identified(identity.issuer, identity.subject)
        user = user or await self._first_seen(caller, identity)
        if user.disabled_at is not None:
            raise Unauthenticated("the account is disabled")
        return user

    async def _first_seen(self, caller: Caller, identity: Identity) -> User:
        now, role = self._clock.now(), self.way().role_of(identity)
        async with self._store.transaction() as tx:
            taken = {each.name for each in await tx.accounts.lock_users()}
            # Of two first calls at once the other one may have been quicker.
            if (user := await tx.accounts.user_identified(identity.issuer, identity.subject)) is not None:
                return user
            user = User(UserId(self._ids.new()), name_for(identity.names, taken), "", now, role)
            user = replace(user, issuer=identity.issuer, subject=identity.subject)
            await self._add(tx, caller, user)
        return user

    async def _add(self, tx: Transaction, caller: Caller, user: User) -> None:
        await tx.accounts.add_user(user)
        by = replace(caller, actor=f"user:{user.name}")
        identity = {"issuer": user.issuer, "subject": user.subject}
        facts = {"name": user.name, "role": user.role.value, "identity": identity}
        await tx.journal.audit([by.did("account.create", user.id, user.created_at, **facts)])


def name_for(names: Collection[str], taken: Collection[str]) -> str:
    """What an account is called: the first of `names` that can be shown, with a number where others are called so."""
    shown = ("".join(filter(str.isprintable, each)).strip()[:LONGEST_NAME].strip() for each in names)
    name = next(filter(None, shown), "somebody")
    if name not in taken:
        return name
    return next(numbered for count in range(2, len(taken) + 3) if (numbered := f"{name}-{count}") not in taken)
