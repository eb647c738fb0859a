"""What routes ask for: the use cases, the caller, the version that an update was made for."""

from dataclasses import dataclass, replace
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Header, Query, Request

from isthmus.domain.accounts import Role
from isthmus.domain.errors import Forbidden, InvalidValue, Unauthenticated
from isthmus.server.adapters.exposition import Exposition
from isthmus.server.adapters.http import browser
from isthmus.server.adapters.http.access import ACCESS, Need
from isthmus.server.adapters.http.extent import check_extent
from isthmus.server.adapters.oidc.tokens import looks_like_one
from isthmus.server.application import secrets
from isthmus.server.application.account_book import AccountBook
from isthmus.server.application.accounts import AccountService
from isthmus.server.application.agents import AgentService
from isthmus.server.application.audit_log import AuditLogService
from isthmus.server.application.audit_witness import WitnessService
from isthmus.server.application.bridge_status import BridgeStatusService
from isthmus.server.application.bridges import BridgeService
from isthmus.server.application.bulk import BulkService
from isthmus.server.application.caller import Caller
from isthmus.server.application.certificates import CertificateService
from isthmus.server.application.denials import DenialService
from isthmus.server.application.directory import DirectoryService, LookupService
from isthmus.server.application.endpoints import EndpointService
from isthmus.server.application.enrollment import EnrollmentService
from isthmus.server.application.explain import ExplainService
from isthmus.server.application.federation_facts import FederationService
from isthmus.server.application.findings import FindingService
from isthmus.server.application.grants import GrantService
from isthmus.server.application.history import HistoryService
from isthmus.server.application.identities import IdentityService
from isthmus.server.application.incidents import IncidentService
from isthmus.server.application.instances import InstanceService
from isthmus.server.application.invitations import InvitationService
from isthmus.server.application.jumps import JumpWatch
from isthmus.server.application.keys import KeyService
from isthmus.server.application.liveness import LivenessService
from isthmus.server.application.messages import MessageService
from isthmus.server.application.networks import NetworkService
from isthmus.server.application.overlays import OverlayService
from isthmus.server.application.paths import PathService
from isthmus.server.application.peers import PeerService
from isthmus.server.application.remotes import RemoteService
from isthmus.server.application.services import ServiceCatalogue
from isthmus.server.application.sessions import SessionService
from isthmus.server.application.templates import TemplateService
from isthmus.server.application.topology import TopologyService
from isthmus.server.outward_ports import Examiner
from isthmus.server.ports import Presence, Store
from isthmus.server.records import Page


@dataclass(frozen=True, slots=True)
class FederationServices:
    """What routes ask of the federation."""

    facts: FederationService
    remotes: RemoteService
    invitations: InvitationService
    messages: MessageService
    findings: FindingService
    witness: WitnessService
    certificates: CertificateService
    instances: InstanceService
    overlays: OverlayService
    bridges: BridgeService
    doctor: Examiner
    grants: GrantService
    catalogue: ServiceCatalogue
    explaining: ExplainService


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the routes, made once at start."""

    store: Store
    networks: NetworkService
    peers: PeerService
    bulk: BulkService
    history: HistoryService
    templates: TemplateService
    enrollment: EnrollmentService
    accounts: AccountService
    account_book: AccountBook
    identities: IdentityService
    agents: AgentService
    incidents: IncidentService
    keys: KeyService
    sessions: SessionService
    liveness: LivenessService
    denials: DenialService
    audit_log: AuditLogService
    presence: Presence
    paths: PathService
    bridge_status: BridgeStatusService
    topology: TopologyService
    endpoints: EndpointService
    jumps: JumpWatch
    directory: DirectoryService
    lookups: LookupService
    federation: FederationServices
    exposition: Exposition


def services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


def bearer_of(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def authorize(
    request: Request, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> None:
    """Check the access table for the route at hand; runs before every route of the API."""
    need = ACCESS[request.method if request.method != "HEAD" else "GET", request.scope["route"].path]
    await admit(request, need, authorization)
    known = services(request)
    await check_extent(request, need, request.state.caller, known.peers, known.incidents)


async def admit(request: Request, need: Need, authorization: str | None) -> None:
    """Put the caller that `authorization` proves into the request's state; refuse one that lacks what is needed."""
    caller: Caller = request.state.caller
    if caller.actor == "local":
        return
    token = bearer_of(authorization) or _of_browser(request, authorization)
    if need is Need.NOTHING:
        return
    if need is Need.LOCAL:
        raise Forbidden("this call is answered on the server's own socket only")
    if token is None:
        raise Unauthenticated("no bearer token was sent")
    if token.startswith(secrets.SESSION):
        peer_id = await services(request).agents.authenticate(token)
        request.state.caller = replace(caller, actor=f"agent:{peer_id}")
        raise Forbidden("an agent's session is for the calls under /api/v1/agent, and for its own peer only")
    by, role = await _person(services(request), caller, token, authorization is not None)
    request.state.caller = by
    if not need.is_met_by(by.scopes):
        lacks = "token" if need.is_met_by(role.scopes) else f"role {role}"
        raise Forbidden(f"the {lacks} lacks the scope {need.value}")


async def _person(known: Services, caller: Caller, token: str, in_header: bool) -> tuple[Caller, Role]:
    """Whose token it is, and the role of that account. A role that was changed counts from the next call on."""
    if in_header and known.identities.is_there and looks_like_one(token):
        user, identity = await known.identities.authenticate(caller, token)
        by = replace(caller, scopes=user.role.scopes, until=identity.until)
    else:
        api_token, user = await known.accounts.authenticate(token)
        scopes = api_token.scopes & user.role.scopes
        by = replace(caller, scopes=scopes, token_id=api_token.id, until=api_token.expires_at)
    return replace(by, actor=f"user:{user.name}", user_id=user.id, networks=user.reach), user.role


def _of_browser(request: Request, authorization: str | None) -> str | None:
    """The session of a browser, where one of our own pages has sent this."""
    if authorization is not None:
        return None
    session, origins = browser.session_of(request), request.app.state.origins
    if request.headers.get("upgrade", "").lower() == "websocket":
        browser.check_socket(request, origins)
    elif request.method not in browser.SAFE:
        browser.check_mutation(request, session, origins)
    return session


async def refuse_unknown_parameters(request: Request) -> None:
    """A mistyped filter must not answer with everything as if it had been left out."""
    known = request.app.state.parameters[request.method, request.scope["route"].path]
    for name in request.query_params:
        if name not in known:
            hint = f"it takes: {', '.join(sorted(known))}" if known else "it takes none"
            raise InvalidValue(f"/{name[:64]}", "is not a parameter of this call", hint)
        if not known[name] and len(request.query_params.getlist(name)) > 1:
            raise InvalidValue(f"/{name}", "was given more than once", "give it once")


# What FastAPI calls for each request is async throughout: it would run plain functions in a thread each.


async def calls_of(request: Request) -> Services:
    return services(request)


async def caller_of(request: Request) -> Caller:
    return cast("Caller", request.state.caller)


async def version_of(if_match: Annotated[str | None, Header(examples=['"3"'])] = None) -> int | None:
    """The version in `If-Match`; None where the caller does not care."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip()
    digits = text[1:-1]
    if len(text) < 3 or text[0] != '"' or text[-1] != '"' or not (digits.isascii() and digits.isdigit()):
        raise InvalidValue("/If-Match", "is not an ETag of this API", "send the ETag that the object was read with")
    return int(digits[:18])


async def page_of(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[UUID | None, Query(description="the `next` of the page before")] = None,
) -> Page:
    return Page(limit, after)


Calls = Annotated[Services, Depends(calls_of)]
By = Annotated[Caller, Depends(caller_of)]
Version = Annotated[int | None, Depends(version_of)]
Paging = Annotated[Page, Depends(page_of)]


def etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}
