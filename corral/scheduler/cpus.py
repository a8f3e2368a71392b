"""CPUs: which CPU a guest can have on several hosts.

In this room   Cpus, the interface; PlainCpus, which knows no CPU models
Next door      hypervisor/libvirt/baseline.py asks libvirt; controllers/platform.py uses one of them
"""

from typing import Protocol

from corral.model.hardware import GuestCpu


class Cpus(Protocol):
    """Knows CPU models."""

    def baseline(self, hosts: frozenset[GuestCpu]) -> GuestCpu | None:
        """The best CPU that all hosts can give; None: there is none."""

    def fits(self, host: GuestCpu, cpu: GuestCpu) -> bool:
        """Whether a guest with this CPU can run on the host."""


class PlainCpus:
    """Where libvirt is not installed: CPUs are equal, or have nothing to do with each other."""

    def baseline(self, hosts: frozenset[GuestCpu]) -> GuestCpu | None:
        return next(iter(hosts)) if len(hosts) == 1 else None

    def fits(self, host: GuestCpu, cpu: GuestCpu) -> bool:
        return host == cpu
