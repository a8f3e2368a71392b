"""Probe: does KVM work here? Tried, not believed.

In this room   the trial: a tiny guest has to boot under KVM within TRIAL_S
Comes in       QEMU's path; /dev/kvm, about which nothing is believed
Goes out       Accelerator: KVM or TCG, and why
Always true    KVM is the verdict only if a guest went through the whole firmware, switched to 64 bits, did some
               work there at a processor's speed, and said so. There are hosts where /dev/kvm opens, and hangs in the
               firmware; and others (a KVM without hardware behind it) that run firmware well and interpret a guest's
               kernel, thousands of times slower than software emulation does. The guest gets the host's own CPU
               model, as VMs do: a host may refuse just that.
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
LOOPS: Final = (
    50_000_000  # 0.02 s on a processor, 0.3 s in software emulation, minutes where each step is interpreted
)
CPU: Final = {AcceleratorKind.KVM: "host", AcceleratorKind.TCG: "qemu64"}
KVM_DEVICE: Final = Path("/dev/kvm")


def boot_sector() -> bytes:
    """512 bytes, run at 0x7c00: switch to 64 bits, count down LOOPS, print WORD on the debug port, end with EXIT_CODE."""
    real_mode = (
        "fa 31c0 8ed8 8ec0 8ed0 bc007c"  # cli; ds = es = ss = 0; sp = 0x7c00
        "66bf00100000 0f22df"  # edi = cr3 = 0x1000: the first of three page tables
        "6631c0 66b9000c0000 66f3ab"  # zero them
        "66c706001003200000 66c706002003300000 66c706003083000000"  # the first 2 MiB, one to one
        "0f20e0 0c20 0f22e0"  # cr4: physical address extension
        "66b9800000c0 0f32 0d0001 0f30"  # EFER: long mode
        "0f0116987c"  # lgdt at 0x7c98
        "0f20c0 660d01000080 0f22c0"  # cr0: protected mode and paging
        "ea677c0800"  # jump to 0x7c67, in 64 bits
    )
    long_mode = (
        "0f20d8 0f22d8"  # write cr3 again: what a kernel does all the time
        f"b9{LOOPS.to_bytes(4, 'little').hex()} ffc9 75fc"  # ecx = LOOPS; dec ecx; jnz to it
        f"b0{WORD.hex()} e6e9 b0{EXIT_VALUE:02x} e6f4 f4 ebfd"  # out 0xe9; out 0xf4; hlt; jmp to it
    )
    descriptors = (
        "0000000000000000 00000000009a2000 0f00887c0000"  # of segments, at 0x7c88; then what lgdt reads
    )
    code = bytes.fromhex(real_mode + long_mode).ljust(0x88, b"\0") + bytes.fromhex(descriptors)
    return code.ljust(510, b"\0") + b"\x55\xaa"


def command(emulator: str, accelerator: AcceleratorKind, folder: Path) -> tuple[str, ...]:
    """QEMU with nothing in it but a floppy and the two debug ports."""
    return (
        emulator, "-accel", accelerator.value, "-cpu", CPU[accelerator], "-machine", "pc", "-m", "16",
        "-nodefaults", "-no-user-config", "-display", "none", "-drive", f"file={folder}/boot.img,format=raw,if=floppy,readonly=on",
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
