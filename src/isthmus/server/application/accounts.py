"""Accounts and API tokens: who may sign in, and with what."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from isthmus.domain.accounts import ACCOUNTS, ALL_SCOPES, TOKEN_SCOPES, Role
from isthmus.domain.errors import Forbidden, InvalidValue, NotFound, TransitionNotAllowed, Unauthenticated
from isthmus.domain.ids import ApiTokenId, UserId
from isthmus.domain.mesh.peer import parse_text
from isthmus.server.application import secrets
from isthmus.server.application.attempts import Attempts
from isthmus.server.application.caller import Caller
from isthmus.server.ports import Clock, Ids, Passwords, Store
from isthmus.server.records import ApiToken, Page, User

ADMIN = "admin"
LOGIN_LIFETIME = timedelta(hours=12)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
LONGEST_TOKEN = timedelta(days=3650)
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """An API token at the only moment when its text is known."""

    token: ApiToken
    text: str = field(repr=False)


class AccountService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, passwords: Passwords) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._attempts = Attempts()

    async def first_admin(self, caller: Caller) -> str | None:
        """Make the administrator of an empty backend and return the password, once; None when there is one."""
        now = self._clock.now()
        password = secrets.new_password()
        encoded = await self._passwords.hashed(password)
        async with self._store.transaction() as tx:
            if await tx.accounts.users():
                return None
            user = User(UserId(self._ids.new()), ADMIN, encoded, now, awaits_setup=True)
            await tx.accounts.add_user(user)
            await tx.journal.audit([caller.did("account.create", user.id, now, name=ADMIN)])
        return password

    async def awaiting_setup(self) -> User:
        """The account of the first start, as long as nobody has made it their own. Raises `NotFound` for ever after."""
        async with self._store.reading() as tx:
            return _first(await tx.accounts.users())

    async def set_up(self, caller: Caller, password: str, name: str, new: str) -> None:
        """Make the account of the first start one's own, once: it takes the password that was shown.

        Raises `NotFound` once that is done.
        """
        _check_password(new)
        first = await self.awaiting_setup()
        await self._prove(caller, first.name, password)
        encoded = await self._passwords.hashed(new)
        async with self._store.transaction() as tx:
            users = await tx.accounts.lock_users()
            first = _first(users)
            if any(each.name == name for each in users if each.id != first.id):
                raise InvalidValue("/username", f"{name!r} is the name of another account")
            own = replace(first, name=name, password_hash=encoded, awaits_setup=False, version=first.version + 1)
            await tx.accounts.save_user(own)
            await tx.accounts.delete_tokens_of(own.id)
            by = replace(caller, actor=f"user:{name}")
            await tx.journal.audit([by.did("account.setup", own.id, self._clock.now(), name=name)])

    async def login(self, caller: Caller, name: str, password: str) -> tuple[User, Issued]:
        """A token for 12 hours. Unknown names and wrong passwords get the same answer in the same time."""
        user = await self._prove(caller, name, password)
        return user, await self.signed_in(caller, user)

    async def signed_in(self, caller: Caller, user: User) -> Issued:
        """A token for 12 hours, for somebody who has proven who they are."""
        by = replace(caller, actor=f"user:{user.name}")
        return await self._issue(by, user.id, "login", ALL_SCOPES, LOGIN_LIFETIME)

    async def _prove(self, caller: Caller, name: str, password: str) -> User:
        now = self._clock.now()
        self._attempts.begin(name, caller.source, now)
        async with self._store.reading() as tx:
            user = await tx.accounts.user_named(name)
        is_right = await self._passwords.verify(password, None if user is None else user.password_hash)
        if not is_right or user is None or user.disabled_at is not None:
            raise Unauthenticated("user name or password is wrong")
        self._attempts.succeeded(name, caller.source)
        return user

    async def change_password(self, caller: Caller, current: str, new: str) -> None:
        """A new password ends all tokens of the user, the caller's own included."""
        _check_password(new)
        user = await self._own_user(caller)
        check_has_password(user)
        if not await self._passwords.verify(current, user.password_hash):
            raise InvalidValue("/current_password", "is wrong")
        encoded = await self._passwords.hashed(new)
        async with self._store.transaction() as tx:
            await tx.accounts.save_user(replace(user, password_hash=encoded, awaits_setup=False))
            await tx.accounts.delete_tokens_of(user.id)
            await tx.journal.audit([caller.did("account.password", user.id, self._clock.now())])

    async def reset_password(self, caller: Caller, name: str) -> str:
        """A new random password for who lost theirs, for callers on the server's own host."""
        password = secrets.new_password()
        encoded = await self._passwords.hashed(password)
        async with self._store.transaction() as tx:
            user = await tx.accounts.user_named(name)
            if user is None:
                raise InvalidValue("/username", f"there is no user {name!r}")
            check_has_password(user)
            await tx.accounts.save_user(replace(user, password_hash=encoded, awaits_setup=False))
            await tx.accounts.delete_tokens_of(user.id)
            await tx.journal.audit([caller.did("account.password", user.id, self._clock.now())])
        return password

    async def authenticate(self, text: str) -> tuple[ApiToken, User]:
        """The token and its user. Raises `Unauthenticated`."""
        now = self._clock.now()
        async with self._store.reading() as tx:
            found = await tx.accounts.token_with_digest(secrets.digest_of(text))
        if found is None:
            raise Unauthenticated("the token is not known")
        token, user = found
        if user.disabled_at is not None:
            raise Unauthenticated("the account is disabled")
        if token.expires_at is not None and now >= token.expires_at:
            raise Unauthenticated("the token has expired")
        if token.last_used_at is None or now - token.last_used_at >= TOUCH_EVERY:
            async with self._store.transaction() as tx:
                await tx.accounts.touch_tokens({token.id: now})
        return found

    async def create_token(
        self, caller: Caller, name: str, scopes: frozenset[str], lifetime: timedelta | None
    ) -> Issued:
        if not scopes or not scopes <= TOKEN_SCOPES:
            raise InvalidValue("/scopes", f"is not a choice of {', '.join(sorted(TOKEN_SCOPES))}")
        if not scopes <= caller.scopes:
            raise Forbidden("a token cannot have scopes that its maker lacks")
        if lifetime is not None and not timedelta(minutes=1) <= lifetime <= LONGEST_TOKEN:
            raise InvalidValue("/lifetime", "is not between 60 and 315360000 seconds")
        user = await self._own_user(caller)
        return await self._issue(caller, user.id, parse_text(name, "/name"), scopes, lifetime)

    async def tokens(self, caller: Caller, page: Page) -> list[ApiToken]:
        """The caller's own tokens; whoever manages accounts sees those of all."""
        async with self._store.reading() as tx:
            return await tx.accounts.tokens(page, _whose(caller))

    async def delete_token(self, caller: Caller, token_id: ApiTokenId) -> None:
        async with self._store.transaction() as tx:
            if not await tx.accounts.delete_token(token_id, _whose(caller)):
                raise NotFound("token", str(token_id))
            await tx.journal.audit([caller.did("token.delete", token_id, self._clock.now())])

    async def _own_user(self, caller: Caller) -> User:
        """The caller's account; who is on the server's own socket acts for the first owner."""
        async with self._store.reading() as tx:
            users = await tx.accounts.users()
        owned = (each for each in users if each.role is Role.OWNER and each.disabled_at is None)
        user = next((each for each in users if each.id == caller.user_id) if caller.user_id else owned, None)
        if user is None:
            raise Unauthenticated("the account is gone")
        return user

    async def _issue(
        self, caller: Caller, user_id: UserId, name: str, scopes: frozenset[str], lifetime: timedelta | None
    ) -> Issued:
        now = self._clock.now()
        new = secrets.new_token(secrets.API)
        expires_at: datetime | None = None if lifetime is None else now + lifetime
        token = ApiToken(ApiTokenId(self._ids.new()), user_id, name, new.digest, new.prefix, scopes, now, expires_at)
        async with self._store.transaction() as tx:
            await tx.accounts.add_token(token)
            await tx.journal.audit([caller.did("token.create", token.id, now, name=name, scopes=sorted(scopes))])
        return Issued(token, new.text)


def _first(users: Iterable[User]) -> User:
    for user in users:
        if user.awaits_setup:
            return user
    raise NotFound("setup", "to be done: this backend has its owner")


def check_has_password(user: User) -> None:
    """A password of our own would go around what the identity provider asks for. Raises `TransitionNotAllowed`."""
    if user.issuer is not None:
        raise TransitionNotAllowed(
            user.name,
            "signs in with the identity provider and has no password here",
            "disable the account, or delete it",
        )


def _check_password(new: str) -> None:
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        raise InvalidValue("/new_password", f"is not {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters long")


def _whose(caller: Caller) -> UserId | None:
    """The user whose tokens the caller may know of; None for those of all."""
    return None if ACCOUNTS in caller.scopes else caller.user_id
