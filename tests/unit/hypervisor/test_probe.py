"""The trial of KVM, with programs that behave like a good, a hanging and a broken QEMU."""

import shutil
from pathlib import Path

import pytest

from corral.clock import SystemClock
from corral.hypervisor.libvirt import probe
from corral.hypervisor.libvirt.probe import EXIT_CODE, Outcome, Probe, boot_sector, judge
from corral.model.node import Accelerator, AcceleratorKind

GOOD = f'for w in "$@"; do case $w in file:*) printf K > "${{w#file:}}";; esac; done; exit {EXIT_CODE}'
NO_WORD = f"exit {EXIT_CODE}"
HANGS = "exec sleep 60"
FAILS = "echo 'Could not access KVM kernel module' >&2; exit 1"


def qemu(folder: Path, *, kvm: str, tcg: str) -> str:
    """A program that does the one thing with `-accel kvm`, and the other without."""
    file = folder / "qemu"
    file.write_text(f'#!/bin/sh\necho tried >> {folder}/tries\nif [ "$2" = kvm ]; then\n{kvm}\nfi\n{tcg}\n')
    file.chmod(0o755)
    return str(file)


def tries(folder: Path) -> int:
    return len((folder / "tries").read_text().splitlines())


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(probe, "TRIAL_S", 0.5)
    (tmp_path / "kvm").touch()
    return tmp_path / "kvm"


CASES = [  # name, under KVM, in software, verdict, words in the reason
    ("boots: KVM", GOOD, GOOD, AcceleratorKind.KVM, ""),
    ("hangs: software", HANGS, GOOD, AcceleratorKind.TCG, "did not boot within"),
    ("refused: software, with QEMU's words", FAILS, GOOD, AcceleratorKind.TCG, "Could not access KVM"),
    ("ends without a word: software", NO_WORD, GOOD, AcceleratorKind.TCG, f"code {EXIT_CODE}"),
    ("neither works: software, and it says so", FAILS, FAILS, AcceleratorKind.TCG, "failed as well"),
]


@pytest.mark.parametrize(
    ("kvm", "tcg", "kind", "words"), [pytest.param(*row[1:], id=row[0]) for row in CASES]
)
async def test_verdict(
    kvm: str, tcg: str, kind: AcceleratorKind, words: str, tmp_path: Path, device: Path
) -> None:
    verdict = await Probe(SystemClock(), device=device).verdict(qemu(tmp_path, kvm=kvm, tcg=tcg))
    assert verdict.kind is kind
    assert words in verdict.reason
    assert (verdict.reason == "") == (kind is AcceleratorKind.KVM)


async def test_no_device(tmp_path: Path) -> None:
    verdict = await Probe(SystemClock(), device=tmp_path / "none").verdict("/no/qemu")
    assert (verdict.kind, verdict.reason) == (AcceleratorKind.TCG, f"there is no {tmp_path}/none")


async def test_no_qemu(device: Path) -> None:
    verdict = await Probe(SystemClock(), device=device).verdict("/no/qemu")
    assert "does not start" in verdict.reason


async def test_remembered(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the process; on disk for this boot and this QEMU."""
    emulator, memory = qemu(tmp_path, kvm=GOOD, tcg=GOOD), tmp_path / "state/accelerator.json"
    first = Probe(SystemClock(), memory, device=device)
    for _ in range(2):
        verdict = await first.verdict(emulator)
    assert tries(tmp_path) == 1
    assert await Probe(SystemClock(), memory, device=device).verdict(emulator) == verdict
    assert tries(tmp_path) == 1
    qemu(tmp_path, kvm=GOOD, tcg=GOOD + " # another version")
    await Probe(SystemClock(), memory, device=device).verdict(emulator)
    assert tries(tmp_path) == 2
    monkeypatch.setattr(probe, "boot_id", lambda: "after the next boot")
    await Probe(SystemClock(), memory, device=device).verdict(emulator)
    assert tries(tmp_path) == 3
    memory.write_text("{")
    await Probe(SystemClock(), memory, device=device).verdict(emulator)
    assert tries(tmp_path) == 4


async def test_a_trial_that_proves_nothing_is_not_kept_on_disk(tmp_path: Path, device: Path) -> None:
    memory = tmp_path / "accelerator.json"
    await Probe(SystemClock(), memory, device=device).verdict(qemu(tmp_path, kvm=FAILS, tcg=FAILS))
    assert not memory.exists()


def test_judge() -> None:
    assert judge(Outcome("", 0.3), Outcome("", 0.3)) == Accelerator(kind=AcceleratorKind.KVM, tried_s=0.3)
    assert "in software it booted in 0.4 s" in judge(Outcome("it hung", 5.0), Outcome("", 0.4)).reason


def test_boot_sector_is_one() -> None:
    assert len(boot_sector()) == 512
    assert boot_sector().endswith(b"\x55\xaa")


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="qemu-system-x86_64 is not installed")
async def test_the_real_guest_boots_in_software() -> None:
    """Without this, every host would be called one without KVM."""
    outcome = await Probe(SystemClock()).boot("/usr/bin/qemu-system-x86_64", AcceleratorKind.TCG)
    assert outcome.why_not == ""
