"""Signing a browser in with the identity provider, in two steps: away, and back with a code."""

from fastapi import Request, Response

from isthmus.domain.errors import CsrfFailed
from isthmus.server.adapters.api.account_views import (
    ProviderView,
    SignedInView,
    SignInAddressView,
    SignInAnswerBody,
    UserView,
)
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.http import browser
from isthmus.server.adapters.http.deps import By, Calls
from isthmus.server.application.accounts import LOGIN_LIFETIME
from isthmus.server.application.identities import Answer
from isthmus.server.identity_ports import Flow

router = api_router("accounts")

BACK = "/signed-in"
"""The page of the UI to which the provider sends browsers back."""


@router.get("/session/oidc", operation_id="getIdentityProvider")
async def get_identity_provider(calls: Calls) -> ProviderView:
    """The identity provider that people may sign in with; not found where all accounts are local ones."""
    return ProviderView(name=calls.identities.way().name)


@router.post("/session/oidc/start", operation_id="startSignIn")
async def start_sign_in(calls: Calls, request: Request, response: Response) -> SignInAddressView:
    """Begin to sign a browser in: where it goes, and a cookie without which nobody can end what is begun here."""
    calls.identities.way()
    begun = await calls.identities.begin(_back_to(request))
    response.headers["Cache-Control"] = "no-store"
    browser.keep_flow(response, begun.secret)
    return SignInAddressView(address=begun.address)


@router.post("/session/oidc/finish", operation_id="finishSignIn")
async def finish_sign_in(
    body: SignInAnswerBody, calls: Calls, by: By, request: Request, response: Response
) -> SignedInView:
    """Sign a browser in that came back from the identity provider: the session is a cookie, as with a password."""
    calls.identities.way()
    secret = browser.flow_of(request)
    flow = None if secret is None else Flow(secret, _back_to(request))
    user, issued = await calls.identities.finish(by, flow, Answer(body.code, body.state, body.iss))
    until = issued.token.created_at + LOGIN_LIFETIME
    response.headers["Cache-Control"] = "no-store"
    browser.forget_flow(response)
    browser.sign_in(response, issued.text, until)
    return SignedInView(expires_at=until, user=UserView(id=user.id, name=user.name))


def _back_to(request: Request) -> str:
    """Under the origin of the page that asks, which was found to be one of ours. Raises `CsrfFailed` without one."""
    origin = request.headers.get("origin")
    if origin is None:
        raise CsrfFailed("only a page of this server's UI signs a browser in")
    return f"{origin}{BACK}"
