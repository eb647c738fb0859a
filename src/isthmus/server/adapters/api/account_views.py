"""What the API takes and shows of accounts, of signing in, and of API tokens."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from isthmus.domain.accounts import MOST_NETWORKS, Role
from isthmus.server.adapters.api.views import Body, Password, Seconds, UserName, View

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


class IdentityView(View):
    """Who it is by the word of an identity provider."""

    issuer: str
    subject: str


class AccountView(View):
    id: UUID
    name: str
    identity: IdentityView | None = Field(description="null for a local account, which has a password here")
    role: Role
    networks: list[UUID]
    disabled_at: datetime | None
    created_at: datetime
    version: int


class WelcomeView(View):
    """`password` is shown this once."""

    account: AccountView
    password: str


# --- signing in


class LoginBody(Body):
    username: UserName
    password: Annotated[Password, Field(min_length=1)]


class UserView(View):
    id: UUID
    name: str


class LoginView(View):
    """`token` is shown this once; send it as `Authorization: Bearer …`."""

    token: str
    expires_at: datetime | None
    user: UserView


class SignedInView(View):
    """A browser's session, which itself is in a cookie."""

    expires_at: datetime
    user: UserView


class ProviderView(View):
    name: str = Field(description="what people know it by", examples=["single sign-on"])


class SignInAddressView(View):
    address: str = Field(description="where the browser goes to sign in")


class SignInAnswerBody(Body):
    """What the identity provider has put into the address to which it sent the browser back."""

    code: Annotated[str, Field(min_length=1, max_length=4096, examples=["SplxlOBeZQQYbYS6WxSbIA"])]
    state: Annotated[str, Field(min_length=1, max_length=256, examples=["af0ifjsldkj"])]
    iss: Annotated[str | None, Field(max_length=500)] = None


class MeView(View):
    actor: str = Field(examples=["user:admin"])
    scopes: list[str]
    networks: list[UUID] | None = Field(description="those that you may know of, null for all")
    user: UserView | None


class PasswordBody(Body):
    current_password: Password
    new_password: Annotated[Password, Field(description="12 characters or more")]


class SetupView(View):
    """`username` is the account of the first start, which nobody has made their own yet."""

    username: str


class SetupBody(Body):
    """`password` is the one that the first start has shown."""

    password: Annotated[Password, Field(min_length=1)]
    username: UserName
    new_password: Annotated[Password, Field(description="12 characters or more")]


class PasswordResetBody(Body):
    username: UserName


class PasswordResetView(View):
    password: str


class TokenBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=120, examples=["ci"])]
    scopes: Annotated[
        list[Literal["read", "peers", "write", "admin", "audit", "accounts", "metrics"]],
        Field(min_length=1, max_length=7, examples=[["read"]]),
    ]
    lifetime: Annotated[Seconds | None, Field(description="seconds, null = until deleted", examples=[86400])] = None


class TokenView(View):
    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewTokenView(TokenView):
    """`token` is shown this once."""

    token: str
