"""CPUs: who tells the server what CPU models can do."""

from functools import lru_cache

from corral.scheduler.cpus import Cpus, PlainCpus


@lru_cache(maxsize=1)
def best_cpus() -> Cpus:
    """Libvirt, where this machine has it; a server alone need not."""
    try:
        from corral.hypervisor.libvirt.baseline import LibvirtCpus
    except ImportError:
        return PlainCpus()
    return LibvirtCpus()
