"""Definitions: what counts as a drift, and what does not."""

from pathlib import Path

import pytest

from corral.hypervisor.libvirt.definitions import Definitions, Seen, drift_of
from corral.hypervisor.libvirt.xmltree import parse
from corral.model.ids import VmId
from corral.model.units import GiB

VM = VmId("vm-1")
MARK = "<metadata><corral:vm xmlns:corral='https://corral.dev/xmlns/1' id='vm-1' generation='{}'/></metadata>"
XML = (
    "<domain type='kvm'><name>{name}</name>{mark}<memory unit='KiB'>{memory}</memory><vcpu>1</vcpu>"
    "<os><type>hvm</type></os><devices><graphics type='vnc' port='-1'{secret}/>{more}</devices></domain>"
)


def seen(memory: int = 1048576, *, generation: int = 1, version: int = 9000000, **words: str) -> Seen:
    words = {"name": "web", "secret": "", "more": "", **words}
    xml = XML.format(mark=MARK.format(generation), memory=memory, **words)
    return Seen(version=version, generation=generation, xml=xml)


def recorded(folder: Path | None = None) -> Definitions:
    definitions = Definitions(folder)
    definitions.record(VM, seen())
    return definitions


CASES = [
    ("as it was", seen(), ()),
    ("a value", seen(2097152), (f"~ domain/memory: {GiB} bytes -> {2 * GiB} bytes",)),
    ("a device", seen(more="<watchdog model='i6300esb'/>"), ("+ domain/devices/watchdog: model=i6300esb",)),
    ("a password is not told", seen(secret=" passwd='x'"), ()),
    ("its name", seen(name="other"), ()),
    ("only Corral's mark", seen(generation=1), ()),
    ("a newer libvirt says more", seen(more="<audio id='1'/>", version=9001000), ()),
    ("a newer libvirt, and a change", seen(2097152, version=9001000), (f"~ domain/memory: {GiB} bytes -> {2 * GiB} bytes",)),
    ("another node defined it", seen(2097152, generation=2), ()),
]  # fmt: skip


@pytest.mark.parametrize(("now", "lines"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_drift(now: Seen, lines: tuple[str, ...]) -> None:
    definitions = recorded()
    for _ in range(2):  # asked again, the answer is the same
        drift = definitions.drift(VM, now)
        assert (drift.lines if drift else ()) == lines


def test_without_a_record_what_is_there_is_it() -> None:
    definitions = Definitions(None)
    assert definitions.drift(VM, seen()) is None
    assert definitions.drift(VM, seen(2097152)) is not None


def test_records_outlive_the_agent_and_go_with_the_vm(tmp_path: Path) -> None:
    recorded(tmp_path)
    assert Definitions(tmp_path).drift(VM, seen(2097152)) is not None
    (tmp_path / "vm-1.json").write_text("half")
    assert Definitions(tmp_path).drift(VM, seen(2097152)) is None, "a broken record is made anew"
    again = Definitions(tmp_path)
    again.forget(VM)
    again.forget(VM)
    assert not list(tmp_path.iterdir())


def test_a_drift_stays_when_the_generation_moves_on() -> None:
    definitions = recorded()
    definitions.move_on(VM, 2)
    drift = definitions.drift(VM, seen(2097152, generation=2))
    assert drift and drift.model and drift.model.memory_bytes == 2 * GiB
    assert "corral" not in drift.xml


def test_each_drift_has_a_digest_of_its_own_and_what_can_not_be_managed_says_so() -> None:
    record = parse(seen().xml)
    one, other = drift_of(record, parse(seen(2).xml)), drift_of(record, parse(seen(3).xml))
    assert one and other and one.digest != other.digest
    xen = drift_of(record, parse(seen().xml.replace("'kvm'", "'xen'")))
    assert xen and xen.refusal and xen.refusal.element == "domain/@type" and xen.model is None
