"""Slices over the life of a guest: made before it starts, there while it runs, removed when it is gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral.clock import SystemClock
from corral.hypervisor.interface import DomainWish, HypervisorFailed
from corral.hypervisor.libvirt import domains, mdevs, migration
from corral.hypervisor.libvirt.domain_xml import build_domain_xml
from corral.hypervisor.libvirt.driver import LibvirtHypervisor
from corral.hypervisor.libvirt.host_profile import HostProfile
from corral.model.hardware import DeviceKind, HeldDevice, Platform
from corral.model.ids import VmId
from corral.model.units import MiB

VM = VmId("vm-01JD0000000000000000000WEB")
UUID = "c044a100-54d2-8b1e-85b3-a6a62d165c01"
SLICE = HeldDevice(kind=DeviceKind.MDEV, id="nvidia-558", parent="0000:af:00.4", uuid=UUID)
XML = build_domain_xml(
    DomainWish(
        vm=VM, name="web", generation=1, cpus=1, memory_bytes=MiB, platform=Platform(devices=(SLICE,))
    ),
    HostProfile(),
)


class Kernel:
    """Does with the files what the kernel does, when somebody looks."""

    def __init__(self, root: Path) -> None:
        self.devices = root / mdevs.DEVICES
        self.create = root / mdevs.PARENTS / SLICE.parent / "mdev_supported_types" / SLICE.id / "create"
        self.create.parent.mkdir(parents=True)
        self.create.touch()
        self.devices.mkdir(parents=True)

    def there(self) -> list[str]:
        if uuid := self.create.read_text():
            (self.devices / uuid).mkdir()
            (self.devices / uuid / "remove").touch()
            self.create.write_text("")
        for each in list(self.devices.iterdir()):
            if (each / "remove").read_text():
                (each / "remove").unlink()
                each.rmdir()
        return sorted(each.name for each in self.devices.iterdir())


class Libvirtd:
    """Knows one domain, which needs its slice to start."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.running, self.refuses = kernel, False, False

    async def call(self, lane: str, what: str, work: Callable[[Any], Any], **how: Any) -> Any:
        return work(self)

    def start(self) -> None:
        if self.refuses or UUID not in self.kernel.there():
            raise HypervisorFailed("no")
        self.running = True

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def libvirtd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Libvirtd:
    monkeypatch.setattr(domains, "definition", lambda c, uuid: XML)
    monkeypatch.setattr(domains, "start", lambda c, uuid: c.start())
    monkeypatch.setattr(domains, "destroy", lambda c, uuid: c.stop())
    monkeypatch.setattr(migration, "is_broken", lambda c, uuid: False)
    monkeypatch.setattr(domains, "running_documents", lambda c: [XML] if c.running else [])
    return Libvirtd(Kernel(tmp_path))


@pytest.fixture
def driver(libvirtd: Libvirtd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LibvirtHypervisor:
    made = LibvirtHypervisor("test:///default", SystemClock(), root=tmp_path)
    monkeypatch.setattr(made, "_connection", libvirtd)
    monkeypatch.setattr(made._moves, "_connection", libvirtd)
    return made


async def test_a_slice_is_there_while_its_guest_runs(driver: LibvirtHypervisor, libvirtd: Libvirtd) -> None:
    await driver.start(VM)
    assert libvirtd.running
    await driver._sweep()
    assert libvirtd.kernel.there() == [UUID], "it is in use"
    await driver.destroy(VM)
    assert libvirtd.kernel.there() == []
    await driver.start(VM)
    assert libvirtd.running and libvirtd.kernel.there() == [UUID], "and made again for the next start"


async def test_what_a_guest_left_that_stopped_by_itself_is_swept(
    driver: LibvirtHypervisor, libvirtd: Libvirtd
) -> None:
    await driver.start(VM)
    libvirtd.stop()
    await driver._sweep()
    assert libvirtd.kernel.there() == []


async def test_what_a_start_that_failed_left_is_swept(driver: LibvirtHypervisor, libvirtd: Libvirtd) -> None:
    libvirtd.refuses = True
    with pytest.raises(HypervisorFailed):
        await driver.start(VM)
    assert libvirtd.kernel.there() == [UUID]
    await driver._sweep()
    assert libvirtd.kernel.there() == []
    libvirtd.refuses = False
    await driver.start(VM)
    assert libvirtd.running
