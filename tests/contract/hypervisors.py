"""Benches for the contract of hypervisors: two hosts each, simulated or with real libvirtds."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from corral.clock import SystemClock
from corral.hypervisor.interface import DomainWish, Hypervisor
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.simulated import Pace, SimulatedHypervisor, World
from corral.hypervisor.simulated.foreign import add_foreign, foreign_report
from corral.model.domain import Drift
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.migration import MigrationHow
from corral.model.units import MiB
from corral.storage.simulated import Files, HostDisks, SharedFiles
from tests.lab.boot_sector import BUSY, write_disk
from tests.lab.libvirtd import Host, hosts


class Bench(Protocol):
    """Two hosts that see the same disks, and what a test may do behind their drivers' backs."""

    addresses: tuple[str, str]  # for migrations
    nowhere: str  # the address of no host
    busy: bytes  # typed on a console: keeps the guest's memory changing

    slow: MigrationHow  # takes seconds

    def driver(self, n: int) -> Hypervisor:
        """Of host 0 or 1."""

    def disk(self, name: str) -> Path: ...

    def qcow2(self, name: str) -> Path:
        """A disk that can hold snapshots; it boots as disk() does."""

    def write(self, path: Path, word: str) -> None:
        """Put a word on a disk that nobody uses."""

    def read(self, path: Path) -> str: ...
    def local_disk(self, name: str) -> str:
        """The path of a disk that each host has for itself: the guest's on host 0, an empty one on host 1."""

    def has_arrived(self, path: str) -> bool:
        """Whether host 1's file has all that host 0's had."""

    def writes(self, wish: DomainWish, bytes_s: float) -> None:
        """Simulated guests are told how fast to write; real ones do it when they are busy."""

    def kill_qemu(self, n: int, wish: DomainWish) -> None: ...

    def hold(self) -> None:
        """Guests of this test do not let go of devices."""

    def iops(self, n: int, wish: DomainWish) -> int:
        """Limit of the running VM's first disk, as the host has it; 0: none."""

    def size(self, wish: DomainWish) -> int:
        """Of its first disk's file, in bytes."""

    def define_by_hand(self, n: int, name: str, uuid: str, disk: Path) -> None:
        """A domain that is not Corral's."""

    def change_by_hand(self, n: int, wish: DomainWish) -> None:
        """Give the definition of a VM more memory."""

    def remove_by_hand(self, n: int, uuid: str) -> None: ...

    def end(self) -> None: ...


def wish_of(bench: Bench, name: str, number: int) -> DomainWish:
    volume = VolumeId(f"vol-01JC{number:022d}")
    return DomainWish(
        vm=VmId(f"vm-01JC{number:022d}"),
        name=name,
        generation=1,
        cpus=1,
        memory_bytes=32 * MiB,
        disks=(DiskAssignment(volume=volume, path=str(bench.disk(name)), format="raw", shared=True),),
        nics=(NicAssignment(network=NetworkId("net-1"), bridge="br0", mac=f"52:54:00:01:00:{number:02x}"),),
    )


class SimulatedBench:
    """The simulated driver on real time. Disks are real files, so that they can be missed."""

    nowhere, busy = "sim://nowhere", b""
    slow = MigrationHow(bandwidth_bytes_s=8 * MiB)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pace = Pace(
            start=(0.01, 0.02), guest_boot=(0.1, 0.2), guest_shutdown=(0.05, 0.1), migration_s_min=1.0
        )
        self.world = World(SystemClock(), pace)
        self.hosts = [self.world.add_host("one"), self.world.add_host("two")]
        self.addresses = (self.hosts[0].address, self.hosts[1].address)
        shared = SharedFiles(pools={str(folder): None})
        self.files = [Files(), Files()]
        for host, local in zip(self.hosts, self.files, strict=True):
            host.disks = HostDisks(local, shared)

    def driver(self, n: int) -> Hypervisor:
        return SimulatedHypervisor(
            self.hosts[n],
            file_exists=lambda path: path.startswith("/local/") or Path(path).exists(),
            grow_file=os.truncate,
        )

    def disk(self, name: str) -> Path:
        path = self.folder / f"{name}.raw"
        path.touch()
        disks = self.hosts[0].disks
        assert isinstance(disks, HostDisks)
        disks.shared.sizes[str(path)] = 1
        return path

    def qcow2(self, name: str) -> Path:
        return self.disk(name)

    def write(self, path: Path, word: str) -> None:
        self.world.contents.at(str(path)).now = word

    def read(self, path: Path) -> str:
        return self.world.contents.at(str(path)).now

    def local_disk(self, name: str) -> str:
        path = f"/local/{name}.raw"
        for files in self.files:
            files.sizes[path] = 1
        return path

    def has_arrived(self, path: str) -> bool:
        one, two = (files.stamps.get(path, 0) for files in self.files)
        return two > one > 0 and not self.world.stale

    def writes(self, wish: DomainWish, bytes_s: float) -> None:
        running = self.hosts[0].domains[wish.vm].running
        assert running is not None
        running.dirty_bytes_s = bytes_s

    def kill_qemu(self, n: int, wish: DomainWish) -> None:
        self.hosts[n].crash(wish.vm)

    def hold(self) -> None:
        self.world.pace = replace(self.world.pace, holding_share=1.0)

    def iops(self, n: int, wish: DomainWish) -> int:
        running = self.hosts[n].domains[wish.vm].running
        assert running is not None and running.wish is not None
        return running.wish.disks[0].tuning.limits.iops

    def size(self, wish: DomainWish) -> int:
        return Path(wish.disks[0].path).stat().st_size

    def define_by_hand(self, n: int, name: str, uuid: str, disk: Path) -> None:
        report = foreign_report(name, uuid, running=False, paths=(str(disk),), memory_bytes=32 * MiB)
        add_foreign(self.hosts[n], report)

    def change_by_hand(self, n: int, wish: DomainWish) -> None:
        self.hosts[n].domains[wish.vm].drift = Drift(digest="d1", lines=("~ domain/memory: more",))

    def remove_by_hand(self, n: int, uuid: str) -> None:
        self.hosts[n].foreign.pop(uuid, None)

    def end(self) -> None:
        pass


class LibvirtBench:
    """The real driver."""

    busy = BUSY
    slow = MigrationHow(bandwidth_bytes_s=MiB)

    def __init__(self, folder: Path, made: list[Host]) -> None:
        self.folder, self.hosts = folder, made
        self.addresses = (made[0].address, made[1].address)
        self.nowhere = made[0].address.rpartition(".")[0] + ".99"

    def driver(self, n: int) -> Hypervisor:
        from corral.hypervisor.libvirt.driver import LibvirtHypervisor
        from corral.hypervisor.libvirt.migration import Route

        host = self.hosts[n]
        route = Route(trust_shared=True)
        return LibvirtHypervisor(
            host.uri, SystemClock(), root=host.files, route=route, migration_address=host.address
        )

    def disk(self, name: str) -> Path:
        path = self.folder / f"{name}.raw"
        write_disk(path)
        return path

    def qcow2(self, name: str) -> Path:
        path = self.folder / f"{name}.qcow2"
        raw = self.disk(name)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, path], check=True)
        subprocess.run(["qemu-img", "resize", "-q", path, str(2 * MiB)], check=True)
        return path

    def write(self, path: Path, word: str) -> None:
        _qemu_io(path, f"write -P {ord(word)} {MiB} 4096")

    def read(self, path: Path) -> str:
        """The word of one letter in the second mebibyte."""
        said = _qemu_io(path, f"read -v {MiB} 512")
        return bytes.fromhex(said.split(": ")[1].split("  ")[0])[:1].decode()

    def local_disk(self, name: str) -> str:
        one, two = (host.root / "lib" / f"{name}.raw" for host in self.hosts)
        write_disk(one)
        two.write_bytes(b"\0" * one.stat().st_size)
        return f"/var/lib/libvirt/{name}.raw"

    def has_arrived(self, path: str) -> bool:
        one, two = (host.root / "lib" / Path(path).name for host in self.hosts)
        return one.read_bytes() == two.read_bytes()

    def writes(self, wish: DomainWish, bytes_s: float) -> None:
        pass

    def define_by_hand(self, n: int, name: str, uuid: str, disk: Path) -> None:
        file = self.folder / f"{name}.xml"
        file.write_text(
            f"<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'>"
            f"<driver name='qemu' type='raw'/><source file='{disk}'/><target dev='hda' bus='ide'/></disk>"
            "</devices></domain>"
        )
        self._virsh(n, "define", str(file))

    def change_by_hand(self, n: int, wish: DomainWish) -> None:
        self._virsh(n, "setmaxmem", domain_uuid(wish.vm), "48M", "--config")

    def remove_by_hand(self, n: int, uuid: str) -> None:
        self._virsh(n, "destroy", uuid)
        self._virsh(n, "undefine", uuid)

    def _virsh(self, n: int, *words: str) -> None:
        self.hosts[n].inside("virsh", "-q", "-c", "qemu:///system", *words)

    def kill_qemu(self, n: int, wish: DomainWish) -> None:
        pid = self.hosts[n].qemu_pid(wish.name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def hold(self) -> None:
        """A boot sector knows nothing of hotplug."""

    def iops(self, n: int, wish: DomainWish) -> int:
        said = self.hosts[n].inside("virsh", "blkdeviotune", wish.name, "vda")
        return int(next(line for line in said.splitlines() if "total_iops_sec " in line).split(":")[1])

    def size(self, wish: DomainWish) -> int:
        return Path(wish.disks[0].path).stat().st_size

    def end(self) -> None:
        pass


def _qemu_io(path: Path, command: str) -> str:
    words = ["qemu-io", "-f", "qcow2", "-c", command, str(path)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextmanager
def bench(kind: str, folder: Path) -> Iterator[Bench]:
    """A bench of this kind: "simulated" or "libvirt"."""
    if kind == "simulated":
        yield SimulatedBench(folder)
    else:
        with hosts(2, folder) as made:
            yield LibvirtBench(folder, made)
