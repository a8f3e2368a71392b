"""Faults: where simulated drivers let things go wrong."""

from typing import Protocol


class Faults(Protocol):
    """Asked by simulated drivers at named points, e.g. "hypervisor.start" and "hypervisor.start.end"."""

    async def strike(self, point: str) -> None:
        """Do nothing, take long, hang, or raise the driver's error. At ".end" the effect has taken place."""


class NoFaults:
    """All goes well."""

    async def strike(self, point: str) -> None:
        return
