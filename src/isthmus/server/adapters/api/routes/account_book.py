"""Accounts: who may sign in here, with which role, for which networks."""

from typing import Any
from uuid import UUID

from fastapi import Response

from isthmus.domain.ids import NetworkId, UserId
from isthmus.server.adapters.api.account_views import (
    AccountBody,
    AccountPatch,
    AccountView,
    IdentityView,
    WelcomeView,
)
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag
from isthmus.server.application.account_book import Draft, Update, Welcome
from isthmus.server.records import User

router = api_router("accounts")


@router.get("/accounts", operation_id="listAccounts")
async def list_accounts(calls: Calls, page: Paging) -> Listing[AccountView]:
    """Accounts in the order in which they were made."""
    later = [each for each in await calls.account_book.all() if page.after is None or each.id > page.after]
    items = [_view(each) for each in later[: page.limit]]
    return Listing(items=items, next=str(items[-1].id) if len(later) > page.limit else None)


@router.post("/accounts", operation_id="createAccount", status_code=201)
async def create_account(body: AccountBody, calls: Calls, by: By, response: Response) -> WelcomeView:
    """Make an account; its password is in this answer and nowhere else."""
    draft = Draft(body.username, body.role, _networks(body.networks))
    return _welcome(await calls.account_book.create(by, draft), response)


@router.get("/accounts/{account_id}", operation_id="getAccount")
async def get_account(account_id: UUID, calls: Calls, response: Response) -> AccountView:
    """One account."""
    return _shown(await calls.account_book.get(UserId(account_id)), response)


@router.patch("/accounts/{account_id}", operation_id="updateAccount")
async def update_account(
    account_id: UUID, body: AccountPatch, calls: Calls, by: By, version: Version, response: Response
) -> AccountView:
    """Change an account's role or networks, or disable it; that counts from the next call on."""
    given: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if "networks" in given:
        given["networks"] = _networks(given["networks"])
    return _shown(await calls.account_book.update(by, UserId(account_id), Update(**given), version), response)


@router.post("/accounts/{account_id}/password", operation_id="resetAccountPassword")
async def reset_account_password(account_id: UUID, calls: Calls, by: By, response: Response) -> WelcomeView:
    """Give an account a new random password, shown once; all its sessions and tokens end."""
    return _welcome(await calls.account_book.reset_password(by, UserId(account_id)), response)


@router.delete("/accounts/{account_id}", operation_id="deleteAccount", status_code=204)
async def delete_account(account_id: UUID, calls: Calls, by: By, version: Version) -> None:
    """Delete an account with its sessions and tokens."""
    await calls.account_book.delete(by, UserId(account_id), version)


def _networks(ids: list[UUID]) -> frozenset[NetworkId]:
    return frozenset(NetworkId(each) for each in ids)


def _welcome(made: Welcome, response: Response) -> WelcomeView:
    response.headers["Cache-Control"] = "no-store"
    return WelcomeView(account=_shown(made.user, response), password=made.password)


def _shown(user: User, response: Response) -> AccountView:
    response.headers.update(etag(user.version))
    return _view(user)


def _identity(user: User) -> IdentityView | None:
    if user.issuer is None or user.subject is None:
        return None
    return IdentityView(issuer=user.issuer, subject=user.subject)


def _view(user: User) -> AccountView:
    return AccountView(
        id=user.id,
        name=user.name,
        identity=_identity(user),
        role=user.role,
        networks=sorted(user.networks),
        disabled_at=user.disabled_at,
        created_at=user.created_at,
        version=user.version,
    )
