"""Signing in and out, passwords, API tokens."""

from datetime import timedelta
from uuid import UUID

from fastapi import Response

from isthmus.domain.errors import Unauthenticated
from isthmus.domain.ids import ApiTokenId
from isthmus.server.adapters.api.account_views import (
    LoginBody,
    LoginView,
    MeView,
    NewTokenView,
    PasswordBody,
    PasswordResetBody,
    PasswordResetView,
    SetupBody,
    SetupView,
    SignedInView,
    TokenBody,
    TokenView,
    UserView,
)
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http import browser
from isthmus.server.adapters.http.deps import By, Calls, Paging
from isthmus.server.application.accounts import LOGIN_LIFETIME
from isthmus.server.records import ApiToken

router = api_router("accounts")


@router.get("/setup", operation_id="getSetup")
async def get_setup(calls: Calls) -> SetupView:
    """Whether this backend waits for its owner; not found once it has one."""
    return SetupView(username=(await calls.accounts.awaiting_setup()).name)


@router.post("/setup", operation_id="setUp", status_code=204)
async def set_up(body: SetupBody, calls: Calls, by: By) -> None:
    """Make the account of the first start your own, with a name and a password that you choose; that works once."""
    await calls.accounts.set_up(by, body.password, body.username, body.new_password)


@router.post("/auth/login", operation_id="login")
async def login(body: LoginBody, calls: Calls, by: By, response: Response) -> LoginView:
    """Sign in with name and password; the token lives for 12 hours."""
    response.headers["Cache-Control"] = "no-store"
    user, issued = await calls.accounts.login(by, body.username, body.password)
    view = UserView(id=user.id, name=user.name)
    return LoginView(token=issued.text, expires_at=issued.token.expires_at, user=view)


@router.post("/auth/session", operation_id="signIn")
async def sign_in(body: LoginBody, calls: Calls, by: By, response: Response) -> SignedInView:
    """Sign a browser in: the session is a cookie that no script can read, and ends after 12 hours."""
    response.headers["Cache-Control"] = "no-store"
    user, issued = await calls.accounts.login(by, body.username, body.password)
    until = issued.token.created_at + LOGIN_LIFETIME
    browser.sign_in(response, issued.text, until)
    return SignedInView(expires_at=until, user=UserView(id=user.id, name=user.name))


@router.post("/auth/logout", operation_id="logout", status_code=204)
async def logout(calls: Calls, by: By, response: Response) -> None:
    """End the token or the session that this call was made with."""
    if by.token_id is None:
        raise Unauthenticated("this call was not made with a token")
    browser.sign_out(response)
    await calls.accounts.delete_token(by, by.token_id)


@router.get("/auth/me", operation_id="whoami")
async def me(by: By) -> MeView:
    """Who you are and what your token may do."""
    user = None if by.user_id is None else UserView(id=by.user_id, name=by.actor.removeprefix("user:"))
    networks: list[UUID] | None = None if by.networks is None else [*sorted(by.networks)]
    return MeView(actor=by.actor, scopes=sorted(by.scopes), networks=networks, user=user)


@router.put("/auth/password", operation_id="changePassword", status_code=204)
async def change_password(body: PasswordBody, calls: Calls, by: By) -> None:
    """Change your password; all your tokens end."""
    await calls.accounts.change_password(by, body.current_password, body.new_password)


@router.post("/auth/password/reset", operation_id="resetPassword")
async def reset_password(body: PasswordResetBody, calls: Calls, by: By, response: Response) -> PasswordResetView:
    """Give a user a new random password, shown once; answered on the server's own socket only."""
    response.headers["Cache-Control"] = "no-store"
    return PasswordResetView(password=await calls.accounts.reset_password(by, body.username))


@router.get("/tokens", operation_id="listTokens")
async def list_tokens(calls: Calls, by: By, page: Paging) -> Listing[TokenView]:
    """Your API tokens, and those of others where you manage accounts; the secret part of none."""
    items = [_view(token) for token in await calls.accounts.tokens(by, page)]
    return Listing(items=items, next=cursor(items, page))


@router.post("/tokens", operation_id="createToken", status_code=201)
async def create_token(body: TokenBody, calls: Calls, by: By, response: Response) -> NewTokenView:
    """Make an API token; its text is in this answer and nowhere else."""
    response.headers["Cache-Control"] = "no-store"
    lifetime = None if body.lifetime is None else timedelta(seconds=body.lifetime)
    issued = await calls.accounts.create_token(by, body.name, frozenset(body.scopes), lifetime)
    return NewTokenView(token=issued.text, **_view(issued.token).model_dump())


@router.delete("/tokens/{token_id}", operation_id="deleteToken", status_code=204)
async def delete_token(token_id: UUID, calls: Calls, by: By) -> None:
    """End a token at once."""
    await calls.accounts.delete_token(by, ApiTokenId(token_id))


def _view(token: ApiToken) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        prefix=token.prefix,
        scopes=sorted(token.scopes),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )
