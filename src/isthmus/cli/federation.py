"""`isthmus federation`: what this backend is to others. Remotes are the affair of `isthmus remote`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli.command import command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.options import without_none
from isthmus.cli.session import Session
from isthmus.cli.text import fields, printable
from isthmus.domain.federation.remote import Strategy

app = noun("Federation: what this backend is to others. Remotes are looked after by isthmus remote.")

Infra = Annotated[
    list[str] | None,
    typer.Option("--infra", metavar="DOMAIN", help="DNS name that the ingress is reached at; may be given more often."),
]
StrategyOption = Annotated[
    Strategy | None, typer.Option(help="With whom to federate: nobody, those who are listed, or all who prove it.")
]
Service = Annotated[str | None, typer.Option(metavar="LABEL", help="Label of the SRV records, without underscore.")]
Listen = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS:PORT", help="Where the ingress listens; the SRV record has its port."),
]


@command(app, "init", "isthmus federation init --domain a.example --infra infra.a.example")
def init(
    session: Session,
    domain: Annotated[str, typer.Option(metavar="DOMAIN", help="What qualifies the names of this backend, for good.")],
    infra: Infra = None,
    strategy: StrategyOption = None,
    service: Service = None,
    listen: Listen = None,
) -> None:
    """Set federation up, and show the SRV record to publish.

    Makes the CA, certificates and keys.
    """
    if not infra:
        raise Misuse("no infra domain was given", f"name where the ingress is reached: --infra infra.{domain}")
    given = {"domain": domain, "infra_domains": infra, "strategy": strategy and str(strategy), "service": service}
    answer = session.api.post("/federation/init", without_none(given | {"listen": listen}))
    session.show(answer, after_init)


@command(app, "show", "isthmus federation show")
def show(session: Session) -> None:
    """Show what we are to others, and the SRV record to publish."""
    session.show(session.api.get("/federation"), details)


@command(app, "set", "isthmus federation set --strategy list")
def set_(
    session: Session,
    infra: Infra = None,
    strategy: StrategyOption = None,
    service: Service = None,
    listen: Listen = None,
    port: Annotated[
        list[int] | None, typer.Option(help="A port that SRV records of remotes may name; may be given more often.")
    ] = None,
    shared_roots: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file of the CAs that may vouch for remotes without a handshake."),
    ] = None,
) -> None:
    """Change what we are to others. What is not given stays."""
    given: dict[str, Any] = {"infra_domains": infra or None, "strategy": strategy and str(strategy)}
    given |= {"service": service, "listen": listen, "ports": port or None}
    given["shared_roots"] = None if shared_roots is None else _read(shared_roots)
    change = without_none(given)
    if not change:
        raise Misuse("nothing to change was given", "isthmus federation set --help lists what can be")
    session.show(session.api.patch("/federation", change, session.api.read("/federation").etag), details)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise Misuse(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{path} is not PEM") from None


def details(facts: dict[str, Any]) -> str:
    listeners = [f"{_address(each)} ({each['network']})" for each in facts["listeners"]]
    pairs: list[tuple[str, object]] = [
        ("domain", facts["domain"]),
        ("infra domains", facts["infra_domains"]),
        ("strategy", facts["strategy"]),
        ("ingress listens", listeners),
        ("ports of remotes", ", ".join(map(str, facts["ports"]))),
        ("shared roots", facts["shared_roots"]),
    ]
    return f"{fields(pairs)}\n\n{records(facts)}"


def after_init(facts: dict[str, Any]) -> str:
    return (
        f"Federation is set up for {printable(facts['domain'])}.\n\n{records(facts)}\n\n"
        "Then start the Federator and the ingress beside the server (isthmus up starts all three), and invite\n"
        "another backend:\n\n  isthmus remote invite b.example"
    )


def records(facts: dict[str, Any]) -> str:
    names = ", ".join(map(printable, facts["infra_domains"]))
    lines = "\n".join(f"  {printable(record)}" for record in facts["srv_records"])
    return f"To be published in DNS, beside the addresses of {names}:\n\n{lines}"


def _address(listener: dict[str, Any]) -> str:
    host = listener["address"]
    return f"[{host}]:{listener['port']}" if ":" in host else f"{host}:{listener['port']}"
