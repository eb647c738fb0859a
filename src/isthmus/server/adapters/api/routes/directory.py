"""The directory: people of this backend, who may see them, and people of others."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response

from isthmus.domain.federation.directory import User
from isthmus.domain.federation.names import LONGEST_DOMAIN, backend_domain
from isthmus.server.adapters.api.directory_views import (
    DirectoryUserBody,
    DirectoryUserPatch,
    DirectoryUserView,
    OverrideBody,
    ProfileView,
)
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag
from isthmus.server.application.directory import Changes, Draft

router = api_router("directory")
HandleFilter = Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Qualified = Annotated[str, Query(max_length=64 + LONGEST_DOMAIN, examples=["alice@b.example"])]
Begins = Annotated[str, Query(min_length=2, max_length=63, examples=["ali"])]
Domain = Annotated[str, Query(max_length=LONGEST_DOMAIN, examples=["b.example"])]
Remote = Annotated[str, Path(max_length=LONGEST_DOMAIN, examples=["b.example"])]


@router.get("/users", operation_id="listUsers")
async def list_users(calls: Calls, page: Paging, handle: HandleFilter = None) -> Listing[DirectoryUserView]:
    """The people of this backend in the order in which they were made."""
    users = await calls.directory.page(page, handle)
    return Listing(items=[DirectoryUserView.of(user) for user in users], next=cursor(users, page))


@router.post("/users", operation_id="createUser", status_code=201)
async def create_user(body: DirectoryUserBody, calls: Calls, by: By, response: Response) -> DirectoryUserView:
    """Put a person into the directory. Nobody signs in with that: accounts are another matter."""
    draft = Draft(body.handle, body.display_name, body.visibility)
    return _shown(await calls.directory.create(by, draft), response)


@router.get("/users/{user_id}", operation_id="getUser")
async def get_user(user_id: UUID, calls: Calls, response: Response) -> DirectoryUserView:
    """One person of this backend."""
    return _shown(await calls.directory.get(user_id), response)


@router.patch("/users/{user_id}", operation_id="updateUser")
async def update_user(
    user_id: UUID, body: DirectoryUserPatch, calls: Calls, by: By, version: Version, response: Response
) -> DirectoryUserView:
    """Change a person's handle or name, or what all remotes without a setting of their own may see."""
    changes = Changes(**{name: getattr(body, name) for name in body.model_fields_set})
    return _shown(await calls.directory.update(by, user_id, changes, version), response)


@router.delete("/users/{user_id}", operation_id="deleteUser", status_code=204)
async def delete_user(user_id: UUID, calls: Calls, by: By, version: Version) -> None:
    """Take a person out of the directory."""
    await calls.directory.delete(by, user_id, version)


@router.put("/users/{user_id}/visibility/{remote}", operation_id="setVisibility")
async def set_visibility(
    user_id: UUID, remote: Remote, body: OverrideBody, calls: Calls, by: By, response: Response
) -> DirectoryUserView:
    """Say for one remote what it may see of this person, more or less than others."""
    return _shown(await calls.directory.override(by, user_id, remote, body.visibility), response)


@router.delete("/users/{user_id}/visibility/{remote}", operation_id="unsetVisibility")
async def unset_visibility(
    user_id: UUID, remote: Remote, calls: Calls, by: By, response: Response
) -> DirectoryUserView:
    """Let a remote see what all others see."""
    return _shown(await calls.directory.override(by, user_id, remote, None), response)


@router.get("/directory/lookup", operation_id="lookupUser")
async def lookup(handle: Qualified, calls: Calls, by: By) -> ProfileView:
    """The profile of a person by qualified handle: from this directory, or from that of the backend named there."""
    return ProfileView.of(await calls.lookups.lookup(by, handle))


@router.get("/directory/search", operation_id="searchUsers")
async def search(begins: Begins, domain: Domain, calls: Calls, by: By) -> Listing[ProfileView]:
    """People of another backend whose handle or name begins with a text, as far as they may be searched for."""
    found = await calls.lookups.search(by, begins, backend_domain(domain))
    return Listing(items=[ProfileView.of(each) for each in found])


def _shown(user: User, response: Response) -> DirectoryUserView:
    response.headers.update(etag(user.version))
    return DirectoryUserView.of(user)
