"""How the ingress of one data folder stands, for people and for readiness."""

from datetime import UTC, datetime
from typing import Any

from isthmus.ingress import process
from isthmus.ingress.applying import Applier
from isthmus.ingress.facts import decode
from isthmus.ingress.guarding import dropped
from isthmus.ingress.refused import IngressRefused
from isthmus.ingress.versions import FACTS
from isthmus.protocol.ingress import WAN, IngressFacts
from isthmus.protocol.places import Places
from isthmus.x509.pair import PairUnusable, load_folder


def standing(places: Places) -> dict[str, Any]:
    """What runs, what it was made from, and every way in which the two differ. Blocks. Raises `FactsRefused`."""
    applier = Applier(places)
    running = process.ask(applier.layout())
    drift, state = applier.drift(), applier.state()
    facts = _facts(applier)
    drops = dropped() if facts and any(each.network != WAN for each in facts.listeners) else {}
    return {
        "running": running is not None,
        "well": running is not None and not drift and not state.problem,
        "version": running.version if running else None,
        "digest": running.digest if running else None,
        "listeners": [
            {
                "id": each.id,
                "address": each.address,
                "port": each.port,
                "network": each.network,
                "name": facts.networks.get(each.network, each.network) if facts else each.network,
                "dropped": drops.get(each.id),
            }
            for each in (facts.listeners if facts else ())
        ],
        "left_out": state.left_out,
        "anchors": len(facts.anchors) if facts else 0,
        "certificate_until": _until(applier),
        "drift": drift,
        "last_drift": state.drift,
        "drifted_at": datetime.fromtimestamp(state.drifted_at, UTC).isoformat() if state.drifted_at else None,
        "problem": state.problem,
        "mend": state.mend,
    }


def _facts(applier: Applier) -> IngressFacts | None:
    version = applier.versions.current()
    try:
        return decode((version / FACTS).read_bytes(), FACTS) if version is not None else None
    except (OSError, IngressRefused):
        return None


def _until(applier: Applier) -> str | None:
    try:
        return load_folder(applier.versions.pair).leaf.not_after.isoformat()
    except PairUnusable:
        return None
