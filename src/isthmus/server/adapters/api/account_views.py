"""What the API takes and shows of accounts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from isthmus.domain.accounts import MOST_NETWORKS, Role
from isthmus.server.adapters.api.views import Body, UserName, View

Networks = Annotated[
    list[Annotated[UUID, Field(strict=False)]],
    Field(max_length=MOST_NETWORKS, description="for the roles network_admin and user: the networks that it is for"),
]


class AccountBody(Body):
    username: UserName
    role: Annotated[Role, Field(strict=False, examples=["network_admin"])]
    networks: Networks = Field(default_factory=list)


class AccountPatch(Body):
    """What is left out stays as it is."""

    role: Annotated[Role, Field(strict=False)] = Role.USER
    networks: Networks = Field(default_factory=list)
    disabled: bool = False


class AccountView(View):
    id: UUID
    name: str
    role: Role
    networks: list[UUID]
    disabled_at: datetime | None
    created_at: datetime
    version: int


class WelcomeView(View):
    """`password` is shown this once."""

    account: AccountView
    password: str
