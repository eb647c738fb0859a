"""The root of all commands: names its nouns and loads the module of the one that was asked for."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from isthmus.cli import completion

# Importing every module for every call would take longer than most calls: `module:attribute` is loaded on use.
COMMANDS = {
    "up": ("up:app", "Run a whole backend on this machine."),
    "server": ("server:app", "Run the controller on this machine."),
    "federator": ("federator:app", "Carry calls between this backend and others."),
    "agent": ("agent:app", "Join this host to a network and keep its tunnel up."),
    "login": ("account:login_app", "Sign in to a server elsewhere."),
    "logout": ("account:logout_app", "Sign out and forget the token."),
    "whoami": ("account:whoami_app", "Show who you are to the server."),
    "password": ("password:app", "Change your password, or reset a lost one."),
    "network": ("networks:app", "Networks: their CIDRs, settings and addresses."),
    "template": ("templates:app", "Templates: settings for new networks, under a name."),
    "peer": ("peers:app", "Peers: the hosts and devices of a network."),
    "group": ("groups:app", "Groups: names that peers share, and how many share each."),
    "federation": ("federation:app", "Federation: what this backend is to others."),
    "remote": ("remotes:app", "Remotes: other backends, from the invitation to the end."),
    "service": ("services:app", "Services: addresses and ports that can be granted to remotes."),
    "grant": ("grants:app", "Grants: what somebody of a remote may do here."),
    "bridge": ("bridges:app", "Bridges: networks that are joined with networks of remotes."),
    "ingress": ("ingress:app", "Ingress: takes calls of other backends."),
    "incident": ("incidents:app", "Incidents: copied agents, shared configs, tokens used twice."),
    "findings": ("findings:app", "Findings: what an operator should look at."),
    "user": ("users:app", "Users: people as other backends may see them."),
    "certificate": ("certificates:app", "Certificates of this backend: its CA, leaves and keys."),
    "instance": ("instances:app", "Instances: processes of this backend that call others."),
    "account": ("accounts:app", "Accounts: who may sign in here, and what each may do."),
    "token": ("tokens:app", "API tokens for scripts and other machines."),
    "events": ("events:app", "Events: what happens, as it happens."),
    "audit": ("audit:app", "Audit log: what was changed, when and by whom."),
    "backup": ("backup:app", "Backups: one file with the whole backend."),
    "version": ("about:version_app", "Show the version of this command."),
    "completion": ("completion:app", "Print the completion script of a shell."),
}


class LazyGroup(TyperGroup):
    """Lists its commands from the table and loads the one that is resolved."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """The real command behind a name of the table."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(f"isthmus.cli.{module}"), attribute)
    return get_command(found)


def assemble() -> typer.Typer:
    app = typer.Typer(
        cls=LazyGroup,
        help="Isthmus, a controller for WireGuard meshes. `isthmus NOUN --help` shows what can be done with each.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, (_, summary) in COMMANDS.items():
        app.add_typer(typer.Typer(), name=name, help=summary)
    return app


def main() -> None:
    """Do what the command line says and exit."""
    completion.prepare()
    assemble()(prog_name="isthmus")
