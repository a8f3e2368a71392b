"""Profiles: defaults for new VMs by name, on top of the presets that are built in.

In this room   Profiles, the requests; choices_for() a new VM
Comes in       requests.py's bodies
Goes out       VMProfile resources; for vms.py the choices of the profile that a request names
Always true    a preset's name can't be taken; the preset of the guest's kind lies under every profile
Next door      hardware.py puts the choices together; model/profile.py has the presets
Start here     choices_for()
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from corral.clock import new_id
from corral.errors import NameTaken
from corral.model.hardware import GuestKind, Hardware
from corral.model.ids import NetworkId, VolumeId
from corral.model.operation import Operation, Verb
from corral.model.profile import PRESETS, HardwareChoice, VMProfile, VMProfileSpec
from corral.model.units import exact_size
from corral.model.vm import Disk, Nic
from corral.server.services.asking import Asking
from corral.server.services.base import Change, check_labels
from corral.server.services.cloudinit import check_cloud_init
from corral.server.services.hardware import check_size, hardware_of, layered, tuned_disk, tuned_nic
from corral.server.services.requests import CreateProfile, CreateVM, UpdateProfile
from corral.server.services.things import Things
from corral.store.mirror import Mirror


class Profiles(Things):
    """Requests about profiles."""

    async def create(self, ask: CreateProfile, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, profile: str, ask: UpdateProfile, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._update(self.mirror.find(VMProfile, profile), ask))

    async def delete(self, profile: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._gone(self.mirror.find(VMProfile, profile)))

    def _create(self, ask: CreateProfile) -> Change:
        if ask.name in list(GuestKind):
            raise NameTaken("VMProfile", ask.name)
        check_profile(ask.spec)
        profile = VMProfile(
            id=new_id("profile", self.clock),
            name=ask.name,
            labels=ask.labels,
            created_at=self.clock.now_s(),
            spec=ask.spec,
        )
        return self._new(profile, done=True)

    def _update(self, profile: VMProfile, ask: UpdateProfile) -> Change:
        labels = profile.labels if ask.labels is UNSET else ask.labels
        check_labels(labels)
        spec = profile.spec if ask.spec is UNSET else ask.spec
        check_profile(spec)
        new = profile.having(labels=labels, spec=spec, generation=profile.generation + 1)
        return self._replace(profile, new, Verb.UPDATE, done=True)


def choices_for(ask: CreateVM, mirror: Mirror) -> VMProfileSpec:
    """Everything chosen for a new VM: by the request, its profile, or the preset. raises NotFound"""
    named = VMProfileSpec()
    if ask.profile in list(GuestKind):
        named = PRESETS[GuestKind(ask.profile)]
    elif ask.profile:
        named = mirror.find(VMProfile, ask.profile).spec
    base = completed(named, ask.hardware.guest)
    return msgspec.structs.replace(layered(base, ask), hardware=layered(base.hardware, ask.hardware))


def completed(profile: VMProfileSpec, guest: GuestKind | None = None) -> VMProfileSpec:
    """The profile with nothing left open that a preset answers."""
    preset = PRESETS[guest or profile.hardware.guest or GuestKind.LINUX]
    return msgspec.structs.replace(
        layered(preset, profile),
        summary=profile.summary,
        hardware=layered(preset.hardware, profile.hardware),
        disk=layered(preset.disk, profile.disk),
        nic=layered(preset.nic, profile.nic),
    )


def check_profile(spec: VMProfileSpec) -> None:
    """Raises  Invalid: it holds what no VM could have"""
    whole = completed(spec)
    assert whole.cloud_init
    hardware_of(whole.hardware, *check_size(whole))
    check_cloud_init(whole.cloud_init)
    tuned_disk(Disk(volume=VolumeId("")), whole.disk, "spec.disk")
    tuned_nic(Nic(network=NetworkId(""), mac=""), whole.nic, "spec.nic")


# ---- read back, for manifests

USUAL_DISK: Final = {"cache": "auto", "io": "auto", "iothread": False, "discard": True, "limits": {}}
USUAL_NIC: Final = {"queues": 1, "limits": {}}


def hardware_form(hardware: Hardware) -> dict[str, Any]:
    """The hardware of a VM as a request has it, nothing left open."""
    plain = {
        f: msgspec.to_builtins(getattr(hardware, f))
        for f in HardwareChoice.__struct_fields__
        if hasattr(hardware, f)
    }
    page = hardware.hugepage_bytes
    return plain | {
        "memory_max": exact_size(hardware.memory_max_bytes) if hardware.memory_max_bytes else 0,
        "hugepages": exact_size(page) if page else 0,
        "devices": [msgspec.to_builtins(device) for device in hardware.devices],
    }


def brief_vm(form: dict[str, Any]) -> dict[str, Any]:
    """The form of a VM without what the preset of its guest gives anyway; its profile is spelt out."""
    guest = GuestKind(form.get("hardware", {}).get("guest", GuestKind.LINUX))
    preset = PRESETS[guest]
    size = msgspec.structs.replace(preset, cpus=form["cpus"], memory=form["memory"])
    usual = hardware_form(hardware_of(preset.hardware, *check_size(size))) | {"guest": GuestKind.LINUX}
    parts = {
        "hardware": _beyond(usual, form.get("hardware", {})),
        "disks": [
            _beyond(USUAL_DISK | msgspec.to_builtins(preset.disk), disk) for disk in form.get("disks", ())
        ],
        "nics": [_beyond(USUAL_NIC | msgspec.to_builtins(preset.nic), nic) for nic in form.get("nics", ())],
    }
    rest = {f: v for f, v in form.items() if f not in ("profile", *parts)}
    life: dict[str, Any] = {
        "restart": preset.restart,
        "stop_timeout_s": preset.stop_timeout_s,
        "cloud_init": {},
    }
    return _beyond(life, rest) | {f: v for f, v in parts.items() if v}


def _beyond(usual: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    return {f: v for f, v in said.items() if f not in usual or usual[f] != v}
