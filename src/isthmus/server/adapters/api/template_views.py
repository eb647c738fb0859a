"""What the API takes and shows of network templates."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from isthmus.domain.mesh.network import DirectPaths
from isthmus.domain.mesh.template import Template
from isthmus.server.adapters.api.views import Body, Cidr, LimitsBody, Name, Seconds, Upstreams, View

Mtu = Annotated[int | None, Field(ge=1280, le=9000)]
Port = Annotated[int | None, Field(ge=1, le=65535)]
Keepalive = Annotated[int | None, Field(ge=0, le=65535, description="seconds, 0 = off")]
Prefix = Annotated[int | None, Field(ge=8, le=30, description="the network gets a free IPv4 CIDR of this size")]
Suffix = Annotated[str | None, Field(max_length=189, examples=["internal"])]


class TemplateSettings(Body):
    """Settings of a network; null leaves one to the default."""

    mtu: Mtu = None
    listen_port: Port = None
    keepalive: Keepalive = None
    direct_paths: Annotated[DirectPaths | None, Field(strict=False)] = None
    key_max_age: Annotated[Seconds | None, Field(description="seconds from an hour on; 0 = keys stay")] = None
    dns_upstreams: Annotated[Upstreams | None, Field(max_length=8)] = None
    limits: LimitsBody | None = None
    domain_suffix: Annotated[Suffix, Field(description="the network's domain is <name>.<suffix>")] = None
    cidr_prefix: Prefix = None
    cidr_pool: Annotated[Cidr | None, Field(description="where the CIDR comes from; default 10.0.0.0/8")] = None


class TemplateBody(TemplateSettings):
    name: Name


class TemplatePatch(TemplateSettings):
    """Fields that are left out stay as they are; a setting that is null is left to the default."""

    name: Name = Field(default_factory=str)


class TemplateView(View):
    """`settings` holds those that the template sets."""

    id: UUID
    name: str
    settings: dict[str, Any]
    version: int
    created_at: datetime

    @classmethod
    def of(cls, template: Template) -> "TemplateView":
        return cls(
            id=template.id,
            name=template.name,
            settings=dict(template.settings),
            version=template.version,
            created_at=template.created_at,
        )
