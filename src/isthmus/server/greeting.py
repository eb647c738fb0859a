"""What the person at the terminal reads when the server has started."""

import os
import sys
from pathlib import Path

from isthmus.server.settings import Settings, default_data_dir


def greet(settings: Settings, password: str | None) -> None:
    """What the person at the terminal needs next. The password is shown here once and kept as a hash only."""
    scheme = "https" if settings.tls_certificate else "http"
    name = command_line(settings)
    lines = [f"Isthmus is running at {scheme}://{settings.listen}", f"Data is kept in {settings.data_dir}"]
    if password is not None:
        lines += ["", "The administrator, shown this once:", "  user      admin", f"  password  {password}"]
        lines += [f"Choose a name and a password of your own: {scheme}://{settings.listen}/setup"]
    lines += [
        "",
        "Next, in another terminal on this machine:",
        f"  {name} network create office --cidr 10.20.0.0/24",
        f"  {name} peer create gw --network office --kind jump --endpoint 198.51.100.7:51820",
        f"  {name} peer create laptop --network office",
        "",
        "Ctrl-C stops the server; the data stays.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def command_line(settings: Settings) -> str:
    """How to call the command line so that it finds this server: as this process was called, with its folder."""
    command = Path(sys.argv[0])
    on_path = str(command.parent) in os.environ.get("PATH", "").split(os.pathsep)
    name = command.name if on_path else shortest(command)
    if settings.socket is not None:
        return f"ISTHMUS_SOCKET={settings.socket} {name}"
    if settings.data_dir != default_data_dir(os.environ):
        return f"ISTHMUS_DATA_DIR={settings.data_dir} {name}"
    return name


def shortest(command: Path) -> str:
    """Seen from here if it lies below, as in a checkout; else in full, so that it works from everywhere."""
    relative = os.path.relpath(command)
    return str(command.absolute()) if relative.startswith(os.pardir) else relative
