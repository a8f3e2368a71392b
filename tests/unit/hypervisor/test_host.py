"""Inventory and host facts, from a small host made of files."""

from pathlib import Path

import pytest

from corral.hypervisor.libvirt.host_facts import HostMeter, busy_share, cpu_ticks, pressure
from corral.hypervisor.libvirt.inventory import parse_capabilities, read_inventory
from corral.model.link import NODE_COLUMNS
from corral.model.node import CpuInfo, HostDisk, NumaCell, PciDevice
from corral.model.units import GiB, KiB, MiB

SHARED = Path(__file__).parents[4] / "shared/data/libvirt-domains/capabilities"

CAPABILITIES = """
<capabilities>
  <host>
    <cpu><arch>x86_64</arch><model>EPYC-Rome</model><vendor>AMD</vendor>
      <topology sockets='2' dies='2' cores='4' threads='2'/>
      <feature name='svm'/><feature name='avx2'/>
    </cpu>
    <topology><cells num='2'>
      <cell id='1'><memory unit='KiB'>2097152</memory><pages unit='KiB' size='4'>1</pages>
        <pages unit='KiB' size='2048'>512</pages><pages unit='KiB' size='1048576'>0</pages>
        <cpus num='2'><cpu id='3'/><cpu id='2'/></cpus></cell>
      <cell id='0'><memory unit='GiB'>1</memory><cpus num='2'><cpu id='0'/><cpu id='1'/></cpus></cell>
    </cells></topology>
  </host>
  <guest><os_type>hvm</os_type><arch name='i686'><emulator>/usr/bin/qemu-system-i386</emulator></arch></guest>
  <guest><os_type>hvm</os_type><arch name='x86_64'><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <machine maxCpus='288'>pc-q35-7.1</machine><machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
    <domain type='qemu'/><domain type='kvm'/></arch></guest>
</capabilities>
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "proc/sys/kernel/hostname": "node-7\n",
        "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
        "proc/meminfo": "MemTotal: 4194304 kB\nMemFree: 1024 kB\nMemAvailable: 1048576 kB\n",
        "proc/stat": "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n",
        "proc/loadavg": "1.25 1.00 0.50 2/345 6789\n",
        "proc/pressure/cpu": "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00\n",
        "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
        "sys/devices/system/cpu/online": "0-2,5\n",
        "sys/block/nvme0n1/size": "2097152\n",
        "sys/block/nvme0n1/queue/rotational": "0\n",
        "sys/block/nvme0n1/device/model": "FAST DISK \n",
        "sys/block/sda/size": "4194304\n",
        "sys/block/sda/queue/rotational": "1\n",
        "sys/block/loop0/size": "8\n",
        "sys/block/dm-0/size": "8\n",
        "sys/block/sr0/size": "8\n",
        "sys/block/vdz/size": "0\n",
        "sys/class/net/br0/bridge/bridge_id": "x",
        "sys/class/net/eth0/address": "x",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for address, pci_class, group in (("0000:3b:00.0", "0x030200", 12), ("0000:3b:00.1", "0x040300", 12)):
        device = tmp_path / "sys/bus/pci/devices" / address
        device.mkdir(parents=True)
        for name, text in (
            ("vendor", "0x10de"),
            ("device", "0x2335"),
            ("class", pci_class),
            ("numa_node", "1"),
        ):
            (device / name).write_text(f"{text}\n")
        members = tmp_path / f"sys/kernel/iommu_groups/{group}/devices"
        members.mkdir(parents=True, exist_ok=True)
        (members / address).touch()
        (device / "iommu_group").symlink_to(members.parent)
    return tmp_path


def test_capabilities() -> None:
    found = parse_capabilities(CAPABILITIES)
    assert found.cpu == CpuInfo(
        model="EPYC-Rome", vendor="AMD", sockets=2, cores=8, threads=2, features=("avx2", "svm")
    )
    assert found.cells == (
        NumaCell(id=0, cpus=(0, 1), memory_bytes=GiB),
        NumaCell(id=1, cpus=(2, 3), memory_bytes=2 * GiB, hugepages={str(2 * MiB): 512}),
    )
    assert (found.emulator, found.machine) == ("/usr/bin/qemu-system-x86_64", "pc-q35-7.2")
    assert found.offers_kvm


def test_inventory(root: Path) -> None:
    found = read_inventory(parse_capabilities(CAPABILITIES), "QEMU 7.2.22, libvirt 9.0.0", root)
    assert (found.hostname, found.kernel, found.cpus) == ("node-7", "6.1.0-13-amd64", 4)
    assert found.memory_bytes == 4 * GiB
    assert found.disks == (
        HostDisk(name="nvme0n1", size_bytes=GiB, model="FAST DISK"),
        HostDisk(name="sda", size_bytes=2 * GiB, rotational=True),
    )
    assert found.bridges == ("br0",)
    assert found.gpus == (
        PciDevice(
            address="0000:3b:00.0",
            vendor="0x10de",
            device="0x2335",
            pci_class="0x030200",
            iommu_group=12,
            numa_cell=1,
        ),
    )
    assert found.iommu_groups == {"12": ("0000:3b:00.0", "0000:3b:00.1")}


def test_a_host_that_shows_nothing(tmp_path: Path) -> None:
    """Empty, and no error: a container, say."""
    found = read_inventory(parse_capabilities(CAPABILITIES), "", tmp_path)
    assert (found.memory_bytes, found.disks, found.bridges, found.gpus, found.iommu_groups) == (
        0,
        (),
        (),
        (),
        {},
    )
    assert found.cpus == 4  # of the NUMA cells
    assert HostMeter(tmp_path).read() == (0.0,) * len(NODE_COLUMNS)


def test_a_single_cell_holds_all_memory(root: Path) -> None:
    """Memory that was added after libvirtd started is missing in its figures."""
    document = CAPABILITIES.replace("<cell id='1'>", "<other>", 1).replace("</cell>", "</other>", 1)
    assert [cell.memory_bytes for cell in read_inventory(parse_capabilities(document), "", root).cells] == [
        4 * GiB
    ]


@pytest.mark.parametrize("document", ["", "no xml", "<domain/>", "<capabilities/>"])
def test_not_capabilities(document: str) -> None:
    with pytest.raises(ValueError, match=r"XML|capabilities"):
        parse_capabilities(document)


@pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no {SHARED}: other hosts' capabilities are not part of the project"
)
def test_capabilities_of_other_hosts(root: Path) -> None:
    documents = [file for file in sorted(SHARED.glob("*.xml")) if "domcaps" not in file.name]
    assert documents
    for file in documents:
        found = parse_capabilities(file.read_text())
        assert found.architecture, file
        assert read_inventory(found, "", root).hostname == "node-7", file
    intel = parse_capabilities((SHARED / "kvm-x86_64.xml").read_text())
    assert (intel.machine, intel.cpu.vendor, len(intel.cells[0].cpus)) == ("pc-q35-6.1", "Intel", 8)


def test_host_meter(root: Path) -> None:
    meter = HostMeter(root)
    (root / "proc/stat").write_text("cpu  130 0 120 900 150 0 0 0 60 0\n")  # 50 busy of 300 ticks
    row = dict(zip(NODE_COLUMNS, meter.read(), strict=True))
    assert row == {
        "cpu_share": pytest.approx(50 / 300),
        "memory_used_bytes": 3 * 1024 * 1024 * KiB,
        "psi_cpu": 0.125,
        "psi_memory": 0.0,
        "psi_io": 0.0,  # the file is missing: an old kernel
        "load1": 1.25,
    }
    assert meter.read()[0] == 0.0, "no time has passed"


def test_counters_that_step_back() -> None:
    assert busy_share((100, 1000), (90, 1100)) == 0.0
    assert busy_share((0, 0), (200, 100)) == 1.0
    assert busy_share((100, 1000), (100, 900)) == 0.0


def test_unreadable_text() -> None:
    assert cpu_ticks("") == (0, 0)
    assert pressure("nonsense") == 0.0


def test_direct_io_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("libvirt")
    from corral.hypervisor.libvirt import host

    assert host.takes_direct_io(tmp_path / "not there yet")

    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")  # as tmpfs answered O_DIRECT before Linux 6.6

    monkeypatch.setattr(host.os, "open", refuse)
    assert not host.takes_direct_io(tmp_path)
