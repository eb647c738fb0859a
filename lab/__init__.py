"""Whole installations on one machine: hosts as network namespaces, with routers, NAT and loss between them."""

from lab.errors import CommandFailed, LabUnavailable
from lab.host import Host, PingResult
from lab.lab import Lab, Nat
from lab.nat import NatKind
from lab.process import Process
from lab.waiting import wait_until

__all__ = [
    "CommandFailed",
    "Host",
    "Lab",
    "LabUnavailable",
    "Nat",
    "NatKind",
    "PingResult",
    "Process",
    "wait_until",
]
