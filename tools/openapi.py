"""Writes the OpenAPI document of the server to standard output; the UI's types are made from it."""

import json
import sys
from typing import Any, cast

from isthmus.server.adapters.api.app import build_app


def main() -> int:
    nothing = cast("Any", None)  # the routes and their documentation need no use case behind them
    sys.stdout.write(json.dumps(build_app(nothing, nothing, nothing).openapi(), indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
