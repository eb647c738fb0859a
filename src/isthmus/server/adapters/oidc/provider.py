"""The provider behind the port: where it is asked, the exchange of a code, and whom its tokens vouch for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp
import structlog

from isthmus.domain.errors import Unauthenticated
from isthmus.server.adapters.oidc import tokens
from isthmus.server.adapters.oidc.documents import Documents
from isthmus.server.adapters.oidc.keys import Keys, SigningKeys
from isthmus.server.adapters.oidc.tokens import Claimed
from isthmus.server.identity_ports import Flow, Identity, ProviderUnavailable
from isthmus.server.ports import Clock
from isthmus.server.settings import OidcSettings, is_safe_url

log = structlog.get_logger()

WELL_KNOWN = "/.well-known/openid-configuration"
DESCRIBED_FOR = timedelta(hours=1)
LONGEST_CODE = 4096
MOST_GROUPS = 1_000
# What people call themselves, the best first; the subject is there always.
NAMES = ("preferred_username", "email", "name", "sub")


@dataclass(frozen=True, slots=True)
class Description:
    """What the discovery document tells."""

    authorization: str
    token: str
    keys: str
    takes_basic: bool


class OidcProvider:
    """Raises as `IdentityProvider` says."""

    def __init__(self, settings: OidcSettings, secret: str | None, clock: Clock) -> None:
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._documents = Documents()
        self._keys = SigningKeys(clock, self._read_keys)
        self._described: tuple[datetime, Description] | None = None

    async def aclose(self) -> None:
        await self._documents.aclose()

    async def address(self, flow: Flow) -> str:
        where = (await self._description()).authorization
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": flow.redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}"

    async def exchanged(self, flow: Flow, code: str) -> Identity:
        if not 0 < len(code) <= LONGEST_CODE:
            raise Unauthenticated("the identity provider has given no code")
        claimed = tokens.read(await self._id_token(flow, code))
        own = self._settings.client_id
        identity = await self._proven(claimed, own)
        if claimed.claims.get("nonce") != flow.nonce:
            raise Unauthenticated("the identity provider has answered another sign-in than this one")
        if claimed.claims.get("azp", own) != own:
            raise Unauthenticated("the token was given to another client")
        return identity

    async def vouched(self, token: str) -> Identity:
        return await self._proven(tokens.read(token), self._settings.audience or self._settings.client_id)

    async def _id_token(self, flow: Flow, code: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
        }
        described, auth = await self._description(), None
        if self._secret is not None and described.takes_basic:
            # RFC 6749, 2.3.1: both are encoded as in a form first.
            auth = aiohttp.BasicAuth(quote_plus(self._settings.client_id), quote_plus(self._secret))
        else:
            form["client_id"] = self._settings.client_id
            if self._secret is not None:
                form["client_secret"] = self._secret
        status, answer = await self._documents.post(described.token, form, auth)
        if status == 200 and isinstance(answer.get("id_token"), str):
            return str(answer["id_token"])
        if answer.get("error") == "invalid_grant":
            raise Unauthenticated("the identity provider does not take its code: sign in again")
        raise ProviderUnavailable(f"{described.token} answers {status}, {str(answer.get('error'))[:100]!r}")

    async def _proven(self, claimed: Claimed, audience: str) -> Identity:
        # What costs nothing comes first: no made-up token makes us ask the provider for anything.
        tokens.check_claims(claimed, self._settings.issuer, audience, self._clock.now().timestamp())
        tokens.check_signature(claimed, await self._keys.named(claimed.key_id))
        return self._identity(claimed.claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        names = tuple(claims[name] for name in NAMES if isinstance(claims.get(name), str))
        found = claims.get(self._settings.role_claim)
        listed = found if isinstance(found, list) else [found]
        groups = frozenset(each for each in listed[:MOST_GROUPS] if isinstance(each, str))
        try:
            until = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=tokens.LEEWAY)
        except (ValueError, OverflowError, OSError):
            until = datetime.max.replace(tzinfo=UTC)
        return Identity(self._settings.issuer, claims["sub"], names, groups, until)

    async def _description(self) -> Description:
        now = self._clock.now()
        if self._described is None or now - self._described[0] >= DESCRIBED_FOR:
            try:
                self._described = (now, await self._read_description())
            except ProviderUnavailable as error:
                if self._described is None:
                    raise
                log.warning("the identity provider is asked where it was before", reason=str(error))
        return self._described[1]

    async def _read_description(self) -> Description:
        issuer = self._settings.issuer
        found = await self._documents.get(issuer.rstrip("/") + WELL_KNOWN)
        if found.get("issuer") != issuer:
            raise ProviderUnavailable(f"{issuer} describes itself as another issuer")
        methods = found.get("token_endpoint_auth_methods_supported")
        takes_basic = not isinstance(methods, list) or "client_secret_basic" in methods
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        authorization, token, keys = (str(found.get(name)) for name in names)
        if not all(map(is_safe_url, (authorization, token, keys))):
            raise ProviderUnavailable(f"{issuer} names an endpoint that is no https:// address")
        return Description(authorization, token, keys, takes_basic)

    async def _read_keys(self) -> Keys:
        return tokens.keys_in(await self._documents.get((await self._description()).keys))
