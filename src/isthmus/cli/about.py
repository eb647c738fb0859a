"""`isthmus version`."""

import platform

from isthmus.cli.command import SHARED, command, lone
from isthmus.cli.session import Session

version_app = lone()


@command(version_app, "version", "isthmus version", options=SHARED)
def version(session: Session) -> None:
    """Show the version of this command."""
    from importlib import metadata

    found = {"isthmus": metadata.version("isthmus"), "python": platform.python_version()}
    session.show(found, lambda each: f"isthmus {each['isthmus']} (Python {each['python']})")
