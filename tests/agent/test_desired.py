"""Reading a config: a bad value anywhere refuses the whole."""

from typing import Any

import pytest

from isthmus.agent.desired import read
from isthmus.agent.errors import InvalidConfig, UnsupportedConfig
from isthmus.protocol.agent import Forwarding
from tests.agent.builders import a_config, a_gateway, a_key, a_neighbour

HOSTILE = "10.0.0.1\n10.0.0.2; drop"


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedConfig, match="requires teleport, which this agent does not know"):
        read(a_config(requires=("forwarding", "teleport")))


@pytest.mark.parametrize(
    "changes",
    [
        {"mtu": 0},
        {"mtu": 70_000},
        {"listen_port": 0},
        {"listen_port": 65_536},
        {"addresses": (HOSTILE,)},
        {"addresses": ("10.0.0.1/24",)},
        {"routes": (HOSTILE,)},
        {"routes": ("10.0.0.1/24",)},
        {"neighbours": (a_neighbour(allowed_ips=(HOSTILE,), isolated=True),)},
        {"neighbours": (a_neighbour(allowed_ips=("fe80::1%x\nadd rule",), encapsulated=True),)},
        {"forwarding": Forwarding(offered=(HOSTILE,))},
        {"neighbours": (a_neighbour(allowed_ips=(HOSTILE,)),)},
        {"neighbours": (a_neighbour(public_key="A" * 44),)},
        {"neighbours": (a_gateway(endpoint="gw.example.com\nx:1"),)},
        {"neighbours": (a_gateway(keepalive=-1),)},
        {"neighbours": (a_neighbour(1), a_neighbour(2, public_key=a_key(1001)))},
    ],
)
def test_a_value_that_is_none_refuses_the_config(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        read(a_config(**changes))


def test_offers_that_overlap_are_one() -> None:
    forwarding = Forwarding(offered=("10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/16"))
    assert [str(each) for each in read(a_config(forwarding=forwarding)).forwarding.offered] == ["10.0.0.0/15"]
