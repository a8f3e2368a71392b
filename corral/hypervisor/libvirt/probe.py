"""Probe: does KVM work here? Tried, not believed.

In this room   the trial: a tiny guest has to boot under KVM within TRIAL_S
Comes in       QEMU's path; /dev/kvm, about which nothing is believed
Goes out       Accelerator: KVM or TCG, and why
Always true    KVM is the verdict only if a guest went through the whole firmware and said so. There are hosts
               where /dev/kvm opens, and even runs a handful of instructions, and then hangs in the firmware:
               so the guest is a boot sector behind SeaBIOS, and no bare reset vector.
               If KVM fails, the same guest is tried in software: a trial that fails there too proves nothing,
               and is not remembered.
Next door      inventory.py reports the verdict; domain_xml.py obeys it
Start here     Probe.verdict()
"""

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.clock import Clock
from corral.model.node import Accelerator, AcceleratorKind

TRIAL_S: Final = 5.0
EXIT_VALUE: Final = 0x15
EXIT_CODE: Final = EXIT_VALUE << 1 | 1  # what isa-debug-exit makes of it
WORD: Final = b"K"
KVM_DEVICE: Final = Path("/dev/kvm")


def boot_sector() -> bytes:
    """512 bytes that print WORD on the debug port and end QEMU with EXIT_CODE."""
    code = bytes(
        [
            0xFA,  # cli
            0xB0, WORD[0], 0xE6, 0xE9,  # mov al, WORD; out 0xe9, al
            0xB0, EXIT_VALUE, 0xE6, 0xF4,  # mov al, EXIT_VALUE; out 0xf4, al
            0xF4, 0xEB, 0xFD,  # hlt; jmp to it
        ]
    )  # fmt: skip
    return code.ljust(510, b"\0") + b"\x55\xaa"


def command(emulator: str, accelerator: AcceleratorKind, folder: Path) -> tuple[str, ...]:
    """QEMU with nothing in it but a floppy and the two debug ports."""
    return (
        emulator, "-accel", accelerator.value, "-machine", "pc", "-m", "16", "-nodefaults", "-no-user-config",
        "-display", "none", "-drive", f"file={folder}/boot.img,format=raw,if=floppy,readonly=on",
        "-debugcon", f"file:{folder}/said", "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    )  # fmt: skip


class Outcome(Struct, frozen=True):
    """Of one boot."""

    why_not: str  # empty: it booted
    took_s: float


class Remembered(Struct, frozen=True, kw_only=True):
    """A verdict on disk: holds for this boot of the host, and this QEMU."""

    boot_id: str
    emulator: str
    accelerator: Accelerator


class Probe:
    """Tries once, then remembers: for the process, and in `memory_file` if there is one."""

    def __init__(self, clock: Clock, memory_file: Path | None = None, *, device: Path = KVM_DEVICE) -> None:
        self._clock, self._memory_file, self._device = clock, memory_file, device
        self._verdict: Accelerator | None = None
        self._one_at_a_time = asyncio.Lock()

    async def verdict(self, emulator: str) -> Accelerator:
        async with self._one_at_a_time:
            if self._verdict is None:
                self._verdict = self._recall(emulator) or await self._try(emulator)
            return self._verdict

    async def _try(self, emulator: str) -> Accelerator:
        if not self._device.exists():
            return Accelerator(reason=f"there is no {self._device}")
        if not os.access(self._device, os.R_OK | os.W_OK):
            return Accelerator(reason=f"no permission to use {self._device}")
        kvm = await self.boot(emulator, AcceleratorKind.KVM)
        control = kvm if not kvm.why_not else await self.boot(emulator, AcceleratorKind.TCG)
        accelerator = judge(kvm, control)
        if not control.why_not:
            self._remember(emulator, accelerator)
        return accelerator

    async def boot(self, emulator: str, accelerator: AcceleratorKind) -> Outcome:
        """Boot the tiny guest once."""
        began = self._clock.monotonic_s()
        with tempfile.TemporaryDirectory(prefix="corral-probe-") as name:
            folder = Path(name)
            (folder / "boot.img").write_bytes(boot_sector())
            why_not = await _run(command(emulator, accelerator, folder), folder / "said")
        return Outcome(why_not, self._clock.monotonic_s() - began)

    def _recall(self, emulator: str) -> Accelerator | None:
        if self._memory_file is None:
            return None
        with suppress(OSError, msgspec.DecodeError):
            kept = msgspec.json.decode(self._memory_file.read_bytes(), type=Remembered)
            if (kept.boot_id, kept.emulator) == (boot_id(), fingerprint(emulator)):
                return kept.accelerator
        return None

    def _remember(self, emulator: str, accelerator: Accelerator) -> None:
        """A file that can't be written costs another trial, no more."""
        if self._memory_file is None:
            return
        note = Remembered(boot_id=boot_id(), emulator=fingerprint(emulator), accelerator=accelerator)
        with suppress(OSError):
            self._memory_file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._memory_file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(note))
            fresh.replace(self._memory_file)


def judge(kvm: Outcome, control: Outcome) -> Accelerator:
    """The verdict on a boot under KVM and one in software."""
    if not kvm.why_not:
        return Accelerator(kind=AcceleratorKind.KVM, tried_s=kvm.took_s)
    compared = f"in software it booted in {control.took_s:.1f} s" if not control.why_not else (
        f"in software it failed as well: {control.why_not}"
    )  # fmt: skip
    return Accelerator(reason=f"a tiny guest under KVM: {kvm.why_not}; {compared}", tried_s=kvm.took_s)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def fingerprint(emulator: str) -> str:
    """Changes when QEMU is replaced."""
    seen = Path(emulator).stat()
    return f"{emulator} {seen.st_size} {seen.st_mtime_ns}"


async def _run(words: tuple[str, ...], said: Path) -> str:
    """Why the guest did not come up; empty: it did."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return f"QEMU does not start: {error}"
    try:
        _, errors = await asyncio.wait_for(process.communicate(), timeout=TRIAL_S)
    except TimeoutError:
        return f"it did not boot within {TRIAL_S:g} s"
    finally:
        await _end(process)
    if process.returncode == EXIT_CODE and await asyncio.to_thread(_content, said) == WORD:
        return ""
    last_line = errors.decode(errors="replace").strip().rpartition("\n")[2]
    return f"QEMU ended with code {process.returncode}: {last_line}"[:300]


def _content(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


async def _end(process: asyncio.subprocess.Process) -> None:
    """Killed, and waited for; a process stuck in the kernel is left to it."""
    if process.returncode is None:
        process.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout=2.0)
