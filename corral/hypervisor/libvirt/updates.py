"""Updates: a running domain is brought to its definition.

In this room   Updates: compares, takes the steps of live.py one by one, and asks the guest whether it noticed
Comes in       a domain's UUID
Goes out       what is pending; HotplugRefused with QEMU's or our reason
Always true    what libvirt's call returned is not believed: the live XML says what the domain has. A step that
               fails, or that a guest which answers does not notice in time, is undone before the error is told.
Next door      live.py thinks; confirm.py asks the guest; driver.py has the lanes
Start here     Updates.update()
"""

import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import libvirt
import libvirt_qemu

from corral.clock import Clock
from corral.hypervisor.interface import HotplugRefused, HypervisorFailed, HypervisorGone
from corral.hypervisor.libvirt import confirm, emulation, trays
from corral.hypervisor.libvirt.connection import Connection, Pool
from corral.hypervisor.libvirt.live import (
    Attach,
    Change,
    Detach,
    Difference,
    SetCpus,
    SetMemory,
    Step,
    Tune,
    compare,
)
from corral.hypervisor.libvirt.shape import Shape
from corral.model.units import format_size
from corral.model.vm import Pending

T = TypeVar("T")
LIVE: Final = libvirt.VIR_DOMAIN_AFFECT_LIVE
GUEST_S: Final = 10.0  # for a guest that answers to notice what was plugged in
LET_GO_S: Final = 3.0  # for a guest to let go at once; later it is pending
LOOK_S: Final = 0.03


def left(step: Step) -> Pending:
    """What to say of a step that was not taken: it comes with the next start."""
    match step:
        case Detach(asked=asked):
            return asked
        case SetCpus(count=count):
            return Pending(what="cpus", text=f"{count} vCPUs")
        case SetMemory(requested_bytes=size):
            return Pending(what="memory", text=f"{format_size(size)} of plugged memory")
        case Attach(mac=mac, what=what) | Change(mac=mac, what=what) if mac:
            return Pending(what="nic", key=mac, text=what)
        case Attach(what=what) | Change(what=what) | Tune(what=what):
            return Pending(what="disk", key=what.rpartition(" ")[2], text=what)


def refused(what: str, why: str) -> HotplugRefused:
    return HotplugRefused(
        f"{what}: {why}",
        hint="The running VM is as it was before. Change it while it is stopped, or look into the guest.",
        what=what,
    )


class Updates:
    """Brings running domains to their definitions, each in the lane of its VM."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection, self._clock = connection, clock

    async def pending(self, uuid: str) -> tuple[Pending, ...]:
        """Steps that nobody has taken count as waiting for the next start."""
        found = await self._difference(uuid)
        steps = [left(step) for step in found.steps]
        told = {(p.what, p.key) for p in found.pending}
        return (*found.pending, *(p for p in steps if (p.what, p.key) not in told))

    async def update(self, uuid: str, *, force: bool = False) -> tuple[Pending, ...]:
        """Takes some seconds when a guest is slow. raises HotplugRefused"""
        for step in (await self._difference(uuid)).steps:
            await self._take(uuid, step, force)
        return await self.pending(uuid)

    async def _difference(self, uuid: str) -> Difference:
        """Between the domain as it runs and as it is defined; empty when it does not run."""

        def look(domain: libvirt.virDomain) -> Difference:
            if not domain.isActive() or not domain.isPersistent():
                return Difference()
            return compare(domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))

        return await self._do(uuid, "compare the domain with its definition", look)

    async def _take(self, uuid: str, step: Step, force: bool) -> None:
        match step:
            case Attach():
                await self._attach(uuid, step)
            case Detach():
                await self._detach(uuid, step)
            case Change():
                await self._change(uuid, step, force)
            case Tune():
                await self._ask(
                    uuid, step.what, lambda domain: domain.setBlockIoTune(step.disk, step.limits, LIVE)
                )
            case SetCpus():
                await self._set_cpus(uuid, step)
            case SetMemory():
                await self._set_memory(uuid, step)

    # ---- devices

    async def _attach(self, uuid: str, step: Attach) -> None:
        before = await self._aliases(uuid)
        what = f"plugging in {step.what}"
        await self._ask(uuid, what, lambda domain: domain.attachDeviceFlags(step.xml, LIVE))
        if await self._comes_true(lambda: self._seen(uuid, step), GUEST_S):
            return
        for alias in sorted(await self._aliases(uuid) - before):
            await self._let_go(uuid, alias)
        raise refused(what, f"the guest did not notice it within {GUEST_S:g} s")

    async def _seen(self, uuid: str, step: Attach) -> bool:
        """Whether the guest has noticed, or can't be asked."""
        if step.mac:
            return await self._asked(uuid, lambda domain: confirm.sees_nic(domain, step.mac)) is not False
        if step.disk:
            return await self._asked(uuid, lambda domain: confirm.sees_disk(domain, step.disk)) is not False
        return True

    async def _detach(self, uuid: str, step: Detach) -> None:
        """Returns when the guest has let go, or when it takes its time."""
        try:
            await self._do(
                uuid, f"take out {step.what}", lambda domain: domain.detachDeviceAlias(step.alias, LIVE)
            )
        except HypervisorGone:
            raise
        except HypervisorFailed as error:
            if "in the process of unplug" not in error.message and step.alias in await self._aliases(uuid):
                raise refused(f"taking out {step.what}", error.message) from error
        await self._gone(uuid, step.alias)

    async def _change(self, uuid: str, step: Change, force: bool) -> None:
        flags = LIVE | (libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE if force else 0)
        change = lambda domain: domain.updateDeviceFlags(step.xml, flags)  # noqa: E731
        try:
            await self._ask(uuid, step.what, change)
        except HotplugRefused as error:
            if not step.drive or "Tray of device" not in error.message:
                raise
            await self._open(uuid, step, force)
            await self._ask(uuid, step.what, change)
            await self._ask(uuid, step.what, lambda domain: trays.close_tray(domain, step.drive))

    async def _open(self, uuid: str, step: Change, force: bool) -> None:
        """Raises HotplugRefused: the guest keeps it locked"""
        await self._ask(uuid, step.what, lambda domain: trays.open_tray(domain, step.drive, force=force))

        async def is_open() -> bool:
            return await self._do(uuid, "look at the drive", lambda domain: trays.is_open(domain, step.drive))

        if not await self._comes_true(is_open, LET_GO_S):
            raise refused(step.what, "the guest has locked the drive; is the disc mounted?")

    async def _let_go(self, uuid: str, alias: str) -> None:
        with suppress(HypervisorFailed):
            await self._do(uuid, "take it out again", lambda domain: domain.detachDeviceAlias(alias, LIVE))
        await self._gone(uuid, alias)

    async def _gone(self, uuid: str, alias: str) -> bool:
        async def gone() -> bool:
            return alias not in await self._aliases(uuid)

        return await self._comes_true(gone, LET_GO_S)

    async def _aliases(self, uuid: str) -> frozenset[str]:
        shape = await self._shape(uuid)
        return frozenset(e.get("name", "") for e in shape.devices.iter("alias"))

    # ---- CPUs and memory

    async def _set_cpus(self, uuid: str, step: SetCpus) -> None:
        if step.count < step.before:  # an error says nothing: the CPUs may go all the same, or later
            with suppress(HypervisorFailed):
                await self._do(uuid, "take vCPUs", lambda domain: domain.setVcpusFlags(step.count, LIVE))
            return
        what = f"{step.count} vCPUs"
        shape = await self._shape(uuid)
        if shape.emulated:
            said = await self._do(uuid, what, lambda d: libvirt_qemu.qemuMonitorCommand(d, "info jit", 1))
            more = step.count - step.before
            if why := emulation.full(said, cpus=step.before, more=more, cpus_max=shape.cpus_max):
                raise refused(what, why)
        await self._ask(uuid, what, lambda domain: domain.setVcpusFlags(step.count, LIVE))

        async def seen() -> bool:
            return await self._asked(uuid, lambda domain: confirm.sees_cpus(domain, step.count)) is not False

        if await self._comes_true(seen, GUEST_S):
            return
        with suppress(HypervisorFailed):
            await self._do(uuid, "take vCPUs back", lambda domain: domain.setVcpusFlags(step.before, LIVE))
        raise refused(what, f"the guest did not take them within {GUEST_S:g} s")

    async def _set_memory(self, uuid: str, step: SetMemory) -> None:
        what = f"{format_size(step.requested_bytes)} of plugged memory"
        await self._ask(uuid, what, lambda domain: domain.updateDeviceFlags(step.xml, LIVE))
        grows = step.requested_bytes > step.before_bytes

        async def taken() -> bool:
            return (await self._shape(uuid)).plugged_bytes == step.requested_bytes

        if await self._comes_true(taken, GUEST_S if grows else LET_GO_S):
            return
        if (
            grows and (await self._shape(uuid)).plugged_bytes <= step.before_bytes
        ):  # none was taken: no driver
            with suppress(HypervisorFailed):
                await self._do(
                    uuid, "ask for less", lambda domain: domain.updateDeviceFlags(step.before_xml, LIVE)
                )
            raise refused(what, "the guest took none of it; it needs a driver for virtio-mem")

    # ---- calls

    async def _ask(self, uuid: str, what: str, call: Callable[[libvirt.virDomain], object]) -> None:
        """Raises HotplugRefused with what QEMU says."""
        try:
            await self._do(uuid, what, call)
        except HypervisorGone:
            raise
        except HypervisorFailed as error:
            raise refused(what, error.message.removeprefix(f"{what}: ")) from error

    async def _asked(self, uuid: str, question: Callable[[libvirt.virDomain], bool | None]) -> bool | None:
        """What the guest's agent says; None: it does not."""
        return await self._do(uuid, "ask the guest", question, pool=Pool.AGENT)

    async def _shape(self, uuid: str) -> Shape:
        return await self._do(uuid, "look at the domain", lambda d: Shape(ET.fromstring(d.XMLDesc(0))))

    async def _do(
        self, uuid: str, what: str, call: Callable[[libvirt.virDomain], T], *, pool: Pool = Pool.CONTROL
    ) -> T:
        return await self._connection.call(
            uuid, what, lambda connection: call(connection.lookupByUUIDString(uuid)), pool=pool
        )

    async def _comes_true(self, true: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Looked at often for `seconds`."""
        ends_s = self._clock.monotonic_s() + seconds
        while not await true():
            if self._clock.monotonic_s() >= ends_s:
                return False
            await self._clock.sleep(LOOK_S)
        return True
