"""Baseline: the best CPU that several hosts have, by libvirt's own knowledge of CPU models.

In this room   LibvirtCpus, over libvirt's test driver: the CPU map without a daemon and without a host
Comes in       what each host offers (GuestCpu)
Goes out       GuestCpu that each of them can give; whether a host can give one
Always true    the features of the answer are exactly those that all hosts have; libvirt only finds the model that
               says it best. Equal questions have equal answers: they are kept.
Next door      scheduler/cpus.py has the interface, and what does without libvirt
Start here     LibvirtCpus.baseline()
"""

import xml.etree.ElementTree as ET
from functools import lru_cache
from typing import Any, Final

import libvirt

from corral.model.hardware import GuestCpu

EXPAND: Final = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES


class LibvirtCpus:
    """CPU models as the libvirt of this machine knows them."""

    @lru_cache(maxsize=256)  # noqa: B019 - one object a program
    def baseline(self, hosts: frozenset[GuestCpu]) -> GuestCpu | None:
        """None: there is none (CPUs of different vendors), or libvirt doesn't know a model."""
        if len(hosts) < 2:
            return next(iter(hosts), None)
        try:
            common = frozenset.intersection(*(self.features(host) for host in hosts))
            answer = ET.fromstring(_connection().baselineCPU([_host_xml(h) for h in _sorted(hosts)], 0))
            model, vendor = answer.findtext("model", ""), answer.findtext("vendor", "")
            named = self.features(GuestCpu(model=model))
        except libvirt.libvirtError:
            return None
        return GuestCpu(
            model=model,
            vendor=vendor,
            require=tuple(sorted(common - named)),
            disable=tuple(sorted(named - common)),
        )

    def fits(self, host: GuestCpu, cpu: GuestCpu) -> bool:
        """Whether a guest with this CPU can run on the host."""
        try:
            return cpu.vendor in ("", host.vendor) and self.features(cpu) <= self.features(host)
        except libvirt.libvirtError:
            return host == cpu

    @lru_cache(maxsize=1024)  # noqa: B019
    def features(self, cpu: GuestCpu) -> frozenset[str]:
        """All that the CPU has. raises libvirtError: no such model"""
        answer = ET.fromstring(_connection().baselineCPU([_host_xml(cpu)], EXPAND))
        found = {f.get("name", "") for f in answer.iterfind("feature[@policy='require']")}
        return frozenset((found | set(cpu.require)) - set(cpu.disable))


@lru_cache(maxsize=1)
def _connection() -> Any:
    return libvirt.open("test:///default")


def _sorted(hosts: frozenset[GuestCpu]) -> list[GuestCpu]:
    return sorted(hosts, key=lambda host: (host.model, host.require, host.disable))


def _host_xml(cpu: GuestCpu) -> str:
    """As libvirt describes a host, which can't lack a feature of its model: those are taken off by set."""
    element = ET.Element("cpu")
    for tag, text in (("arch", "x86_64"), ("model", cpu.model), ("vendor", cpu.vendor)):
        if text:
            ET.SubElement(element, tag).text = text
    for name in cpu.require:
        ET.SubElement(element, "feature", name=name)
    return ET.tostring(element, encoding="unicode")
