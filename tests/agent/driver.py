"""Runs the agent's parts on a lab host: `python -m tests.agent.driver COMMAND`, input and output as JSON."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from isthmus.agent import main
from isthmus.agent.adapters.echo import Echo
from isthmus.agent.errors import ToolFailed
from isthmus.agent.failover import Patience
from isthmus.agent.pace import Pace
from isthmus.agent.paths import Paths
from isthmus.agent.plan import Plan
from isthmus.agent.road import Timing
from isthmus.agent.roads import Roads
from isthmus.agent.settings import Settings, load
from isthmus.agent.state import Applied, Identity, StateDir
from isthmus.agent.wiring import applier_for
from isthmus.agent.worker import Worker
from isthmus.domain.errors import Refusal


def shown(plan: Plan) -> dict[str, Any]:
    return {"steps": [str(step) for step in plan.steps], "remarks": plan.remarks}


def init(settings: Settings) -> dict[str, Any]:
    """What an enrollment in the network that standard input names would leave."""
    state = StateDir(Path(settings.state_dir))
    state.make()
    key = state.make_private_key()
    state.save_identity(Identity("http://127.0.0.1:9", "p-1", "me", "n-1", sys.stdin.read().strip(), "token"))
    return {"public_key": str(key.public())}


async def apply(settings: Settings) -> dict[str, Any]:
    wanted = msgspec.json.decode(sys.stdin.read(), type=Applied)
    applier = applier_for(settings, StateDir(Path(settings.state_dir)))
    # Whoever has a config has heard of the server.
    applier.lease.renew()
    applier.lease.keep()
    started = time.perf_counter()
    done = await applier.apply(wanted)
    return {**shown(done), "seconds": time.perf_counter() - started}


async def keep_ways(settings: Settings) -> None:
    """What an agent does for the ways of its packets, without a server: for ever."""
    applier = applier_for(settings, StateDir(Path(settings.state_dir)))
    pace = Pace(random.uniform)
    timing = Timing(**json.loads(os.environ.get("TIMING", "{}")))
    patience = Patience(**json.loads(os.environ.get("PATIENCE", "{}")))
    with Echo() as probes:
        roads = Roads(applier, pace, probes, Paths(timing, patience))
        assert applier.applied is not None
        await applier.apply(applier.applied)
        sys.stdout.write("keeping\n")
        sys.stdout.flush()
        await roads.run()


async def keep_applied(settings: Settings) -> None:
    """What an agent does for the config that it has, without a server: for ever. SIGUSR1 stands for a word of it."""
    applier = applier_for(settings, StateDir(Path(settings.state_dir)))
    worker = Worker(applier, Pace(random.uniform))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, worker.heard)
    worker.recheck()
    await worker.run()


async def command(name: str) -> Any:
    settings = load(None, os.environ)
    match name:
        case "init":
            return init(settings)
        case "apply":
            return await apply(settings)
        case "ways":
            return await keep_ways(settings)
        case "config":
            return await keep_applied(settings)
        case "plan":
            return shown(await main.plan(settings))
        case "leave":
            return shown(await main.leave(settings))
        case "status":
            return await main.status(settings)
    raise SystemExit(f"there is no command {name}")


if __name__ == "__main__":
    try:
        sys.stdout.write(msgspec.json.encode(asyncio.run(command(sys.argv[1]))).decode())
    except (Refusal, ToolFailed) as error:
        sys.exit(f"{type(error).__name__}: {error}")
