"""What the API takes and shows of the directory: the people of this backend, and profiles of those of others."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from isthmus.domain.federation.directory import LONGEST_NAME, User, Visibility
from isthmus.server.adapters.api.views import Body, View
from isthmus.server.application.directory import Profile

Handle = Annotated[str, Field(max_length=63, examples=["alice"])]
DisplayName = Annotated[str, Field(max_length=LONGEST_NAME, examples=["Alice Liddell"])]
SEEN = "what a remote needs in order to see the user"
Seen = Annotated[Visibility, Field(strict=False, description=SEEN, examples=["search"])]


class DirectoryUserBody(Body):
    handle: Handle
    display_name: DisplayName = ""
    visibility: Seen = Visibility.HANDLE


class DirectoryUserPatch(Body):
    """Fields that are left out stay as they are."""

    handle: Handle = Field(default_factory=str)
    display_name: DisplayName = Field(default_factory=str)
    visibility: Seen = Field(default_factory=lambda: Visibility.HANDLE)


class OverrideBody(Body):
    visibility: Seen


class DirectoryUserView(View):
    """`overrides` say for single remotes what `visibility` says for all others."""

    id: UUID
    handle: str
    display_name: str
    visibility: Visibility
    overrides: dict[str, Visibility] = Field(examples=[{"b.example": "nobody"}])
    created_at: datetime
    version: int

    @classmethod
    def of(cls, user: User) -> "DirectoryUserView":
        return cls(
            id=user.id,
            handle=user.handle,
            display_name=user.display_name,
            visibility=user.visibility,
            overrides=dict(sorted(user.overrides.items())),
            created_at=user.created_at,
            version=user.version,
        )


class ProfileView(View):
    """A user of some backend: `id` and `handle` mean something together with `domain` only."""

    id: str
    handle: str
    domain: str = Field(examples=["b.example"])
    display_name: str

    @classmethod
    def of(cls, profile: Profile) -> "ProfileView":
        return cls(id=profile.id, handle=profile.handle, domain=profile.domain, display_name=profile.display_name)
