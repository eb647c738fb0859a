"""Runs the agent's parts on a lab host: `python -m tests.agent.driver COMMAND`, input and output as JSON."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import msgspec

from isthmus.agent import main
from isthmus.agent.plan import Plan
from isthmus.agent.settings import load
from isthmus.agent.state import Applied, Identity, StateDir


def show(plan: Plan) -> None:
    print(json.dumps({"steps": [str(step) for step in plan.steps], "remarks": plan.remarks}))


async def command(name: str) -> None:
    settings = load(None, os.environ)
    state = StateDir(Path(settings.state_dir))
    if name == "init":
        state.make()
        key = state.make_private_key()
        state.save_identity(Identity("http://127.0.0.1:9", "p-1", "me", "n-1", sys.stdin.readline().strip(), "token"))
        print(json.dumps({"public_key": str(key.public())}))
    elif name == "apply":
        wanted = msgspec.json.decode(sys.stdin.read(), type=Applied)
        applier = main._applier(settings, state)
        started = time.perf_counter()
        done = await applier.apply(wanted)
        again = time.perf_counter()
        print(json.dumps({"steps": [str(s) for s in done.steps], "remarks": done.remarks, "seconds": again - started}))
    elif name == "plan":
        show(await main.plan(settings))
    elif name == "leave":
        show(await main.leave(settings))
    elif name == "status":
        print(msgspec.json.encode(await main.status(settings)).decode())
    else:
        raise SystemExit(f"no command {name}")


if __name__ == "__main__":
    asyncio.run(command(sys.argv[1]))
