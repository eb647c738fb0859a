"""Extensions: Python modules that an operator names in the settings, each of which registers kinds of resources."""

from collections.abc import Iterable
from importlib import import_module

from isthmus.server.application.kinds import Kinds


class ExtensionUnusable(Exception):
    """A module that cannot be imported, or whose `register` fails."""


def kinds_with(modules: Iterable[str]) -> Kinds:
    """Our own kinds and those that each module's `register(kinds)` adds. Raises `ExtensionUnusable`."""
    kinds = Kinds()
    for name in modules:
        try:
            import_module(name).register(kinds)
        except Exception as error:  # whatever an extension does, the message names it
            remedy = "install it beside isthmus, or take it out of the setting extensions"
            raise ExtensionUnusable(f"the extension {name} cannot be used ({error}): {remedy}") from error
    return kinds
