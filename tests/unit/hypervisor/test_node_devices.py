"""Devices of a host, from documents as libvirt's node device driver writes them, and files as sysfs has them."""

import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from shutil import which

import pytest

from corral.hypervisor.interface import HypervisorFailed
from corral.hypervisor.libvirt import mdevs
from corral.hypervisor.libvirt.inventory import Capabilities, read_inventory
from corral.hypervisor.libvirt.node_devices import parse_node_devices
from corral.model.hardware import DeviceKind, HeldDevice
from corral.model.node import Inventory, MdevType, PciDevice
from corral.scheduler.units import units_of

FOLDER = Path(__file__).parent / "nodedevs"
SCHEMA = Path("/usr/share/libvirt/schemas/nodedev.rng")
DOCUMENTS = {file.stem: file.read_text() for file in sorted(FOLDER.glob("*.xml"))}
LINKS = {"ens1f0np0": ("upper_bond0",), "bond0": ("upper_br0", "lower_ens1f0np0"), "br0": ("bridge",)}
OURS = "c044a100-54d2-8b1e-85b3-a6a62d165c01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sysfs of the host that the documents are of."""
    files = {}
    for document in DOCUMENTS.values():
        device = ET.fromstring(document)
        if (pci := device.find("capability[@type='pci']")) is None:
            continue
        address = Path(device.findtext("path", "")).name
        product, vendor, cell = (pci.find(tag) for tag in ("product", "vendor", "numa"))
        assert product is not None and vendor is not None
        group = pci.find("iommuGroup")
        assert group is not None
        folder = tmp_path / "sys/bus/pci/devices" / address
        (tmp_path / "sys/kernel/iommu_groups" / group.get("number", "")).mkdir(parents=True)
        files |= {
            folder / "vendor": vendor.get("id", ""),
            folder / "device": product.get("id", ""),
            folder / "class": pci.findtext("class", ""),
            folder / "numa_node": cell.get("node", "") if cell is not None else "-1",
        }
        folder.mkdir(parents=True)
        (folder / "iommu_group").symlink_to(tmp_path / "sys/kernel/iommu_groups" / group.get("number", ""))
    pci_devices, net = tmp_path / "sys/bus/pci/devices", tmp_path / "sys/class/net"
    for name, upper in LINKS.items():
        files |= {net / name / each / "x": "" for each in upper}
    files |= {
        pci_devices / "0000:17:00.0/net/ens1f0np0/x": "",
        pci_devices / "0000:17:00.2/net/ens1f0v0/x": "",
        net / "ens1f0v0/flags": "0x1002\n",
        pci_devices / "0000:17:00.3/net/ens1f0v1/x": "",
        net / "ens1f0v1/flags": "0x1003\n",
        pci_devices / "0000:00:02.0/boot_vga": "1\n",
    }
    described = "num_heads=4, frl_config=60, framebuffer=2048M, max_resolution=7680x4320, max_instance=24\n"
    for function in ("4", "5"):
        types = tmp_path / f"sys/class/mdev_bus/0000:af:00.{function}/mdev_supported_types"
        files |= {types / "nvidia-558/description": described, types / "nvidia-558/create": ""}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def inventory(root: Path) -> Inventory:
    return read_inventory(Capabilities(), "", root, parse_node_devices(DOCUMENTS.values()))


def at(inventory: Inventory, address: str) -> PciDevice:
    return next(device for device in inventory.devices if device.address == address)


def test_what_a_host_hands_out(inventory: Inventory) -> None:
    """Each class once a line, as `corral node show` has it."""
    found = [
        (str(u.of.kind), u.of.model, u.parts[0].id, u.cell, u.slices, u.made, u.most, u.kept) for u in units_of(inventory)
    ]  # fmt: skip
    assert sorted(found) == sorted([
        ("mdev", "", "i915-GVTg_V5_4", None, 1, 0, 0, ""),
        ("mdev", "", "i915-GVTg_V5_8", None, 2, 0, 0, ""),
        ("gpu", "HD Graphics 630", "0000:00:02.0", None, 1, 0, 0, "is the host's: its console"),
        ("vf", "ConnectX Family mlx5Gen Virtual Function", "0000:17:00.2", 0, 1, 0, 0, ""),
        ("vf", "ConnectX Family mlx5Gen Virtual Function", "0000:17:00.3", 0, 1, 0, 0, "is the host's: link ens1f0v1 is up"),
        ("gpu", "GH100 [H100 PCIe]", "0000:3b:00.0", 0, 1, 0, 0, ""),
        ("nvme", "NVMe SSD Controller SM981/PM981/PM983", "0000:5e:00.0", 0, 1, 0, 0, "is the host's: bound to driver nvme"),
        ("gpu", "GA102GL [A40]", "0000:af:00.0", 1, 1, 0, 0, "is split into virtual functions"),
        ("mdev", "NVIDIA A40-1Q", "nvidia-557", 1, 0, 0, 0, ""),
        ("mdev", "NVIDIA A40-1Q", "nvidia-557", 1, 0, 0, 0, ""),
        ("mdev", "NVIDIA A40-2Q", "nvidia-558", 1, 1, 1, 24, ""),
        ("mdev", "NVIDIA A40-2Q", "nvidia-558", 1, 1, 0, 24, ""),
    ])  # fmt: skip


def test_a_virtual_function_is_on_what_its_nic_is_on(inventory: Inventory) -> None:
    assert at(inventory, "0000:17:00.2").links == ("ens1f0np0", "bond0", "br0")
    assert at(inventory, "0000:17:00.2").physical_function == at(inventory, "0000:17:00.0").address


def test_the_gpus_of_a_host_are_cards(inventory: Inventory) -> None:
    assert [gpu.address for gpu in inventory.gpus] == ["0000:00:02.0", "0000:3b:00.0", "0000:af:00.0"]


def test_slices_of_others_are_none_to_give() -> None:
    """Libvirt tells how many more there could be; to these come those that are Corral's."""
    facts = parse_node_devices(DOCUMENTS.values())
    assert facts["0000:00:02.0"].slices[0] == MdevType(type="i915-GVTg_V5_4", instances=1)
    old = re.sub("<uuid>.*</uuid>", "", DOCUMENTS["a40-slice"])  # libvirt before 7.3
    assert parse_node_devices([DOCUMENTS["a40-function"], old])["0000:af:00.4"].slices[1].made == 1


def test_a_document_that_is_none_is_left_out() -> None:
    assert set(parse_node_devices(["<device", "<device/>", DOCUMENTS["h100"]])) == {"0000:3b:00.0"}


@pytest.mark.skipif(
    not (SCHEMA.exists() and which("xmllint")), reason="no xmllint, or no schema of libvirt's"
)
def test_the_documents_are_such_as_libvirt_writes() -> None:
    files = [str(file) for file in FOLDER.glob("*.xml")]
    words = ["xmllint", "--noout", "--relaxng", str(SCHEMA), *files]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and files, done.stderr


# ---- slices made and removed


SLICE = HeldDevice(kind=DeviceKind.MDEV, id="nvidia-558", parent="0000:af:00.5", uuid=OURS)


def test_a_slice_is_made_by_its_parent(root: Path) -> None:
    mdevs.make(root, SLICE)
    file = root / "sys/class/mdev_bus/0000:af:00.5/mdev_supported_types/nvidia-558/create"
    assert file.read_text() == OURS


def test_a_slice_that_is_there_is_not_made_again(root: Path) -> None:
    (root / mdevs.DEVICES / OURS).mkdir(parents=True)
    mdevs.make(root, SLICE)
    file = root / "sys/class/mdev_bus/0000:af:00.5/mdev_supported_types/nvidia-558/create"
    assert file.read_text() == ""


def test_a_parent_that_has_none_left_says_so(root: Path) -> None:
    lost = HeldDevice(kind=DeviceKind.MDEV, id="nvidia-999", parent="0000:af:00.5", uuid=OURS)
    with pytest.raises(HypervisorFailed, match="nvidia-999") as refused:
        mdevs.make(root, lost)
    assert refused.value.context["parent"] == "0000:af:00.5"


def test_only_own_slices_that_nobody_uses_are_removed(root: Path) -> None:
    used, left, others = OURS, OURS[:-1] + "2", "4b20d080-1b54-4048-85b3-a6a62d165c01"
    for uuid in (used, left, others):
        (root / mdevs.DEVICES / uuid).mkdir(parents=True)
        (root / mdevs.DEVICES / uuid / "remove").touch()
    domain = f"<domain><devices><hostdev mode='subsystem' type='mdev'><source><address uuid='{used}'/></source></hostdev></devices></domain>"
    mdevs.sweep(root, mdevs.named_in(domain))
    written = {u: (root / mdevs.DEVICES / u / "remove").read_text() for u in (used, left, others)}
    assert written == {used: "", left: "1", others: ""}


def test_a_host_without_mediated_devices_has_nothing_to_sweep(tmp_path: Path) -> None:
    mdevs.sweep(tmp_path, frozenset())
    assert mdevs.ours(tmp_path) == frozenset() and mdevs.wanted("") == ()
