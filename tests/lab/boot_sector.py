"""A guest of 512 bytes: it echoes its serial line, powers off when asked, and can keep its memory busy.

What it does    prints "R" once it runs; echoes what it gets on COM1; OFF and the power button switch it off;
                BUSY makes it write to its memory without end (and stop listening), which slows a migration down
Source          16-bit code written by hand; ports as in QEMU's q35: COM1 at 0x3f8, ACPI's PM1 block at 0x600
"""

from pathlib import Path

OFF, BUSY = b"\x11", b"\x04"  # control characters, so that any word is echoed whole
COM1, COM1_STATUS = 0x3F8, 0x3FD
PM1_STATUS, PM1_ENABLE, PM1_CONTROL = 0x600, 0x602, 0x604


class Assembler:
    """Bytes, and short jumps to labels that may come later."""

    def __init__(self) -> None:
        self.code = bytearray()
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[int, str]] = []

    def put(self, *values: int) -> None:
        self.code += bytes(values)

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def jump(self, opcode: int, label: str) -> None:
        self.put(opcode, 0)
        self.jumps.append((len(self.code), label))

    def port(self, number: int) -> None:
        self.put(0xBA, number & 255, number >> 8)  # mov dx, number

    def done(self) -> bytes:
        for after, label in self.jumps:
            self.code[after - 1] = (self.labels[label] - after) & 255
        return bytes(self.code).ljust(510, b"\0") + b"\x55\xaa"


JMP, JZ, JNZ = 0xEB, 0x74, 0x75


def boot_sector() -> bytes:
    a = Assembler()
    a.put(0xFB)  # sti
    a.port(PM1_ENABLE)
    a.put(0xB8, 0x00, 0x01, 0xEF)  # mov ax, 0x100; out dx, ax: hear the power button
    a.port(COM1 + 3)
    a.put(0xB0, 0x03, 0xEE)  # mov al, 3; out dx, al: 8 bits, no parity
    a.put(0xB3, ord("R"))  # mov bl, 'R'
    a.jump(JMP, "send")
    a.label("loop")
    a.port(PM1_STATUS)
    a.put(0xED, 0xF6, 0xC4, 0x01)  # in ax, dx; test ah, 1
    a.jump(JNZ, "off")
    a.port(COM1_STATUS)
    a.put(0xEC, 0xA8, 0x01)  # in al, dx; test al, 1
    a.jump(JZ, "idle")
    a.port(COM1)
    a.put(0xEC, 0x3C, OFF[0])  # in al, dx; cmp al, OFF
    a.jump(JZ, "off")
    a.put(0x3C, BUSY[0])
    a.jump(JZ, "dirty")
    a.put(0x88, 0xC3)  # mov bl, al
    a.label("send")
    a.port(COM1_STATUS)
    a.put(0xEC, 0xA8, 0x20)  # in al, dx; test al, 0x20
    a.jump(JZ, "send")
    a.put(0x88, 0xD8)  # mov al, bl
    a.port(COM1)
    a.put(0xEE)  # out dx, al
    a.jump(JMP, "loop")
    a.label("idle")
    a.put(0xF4)  # hlt: until the timer's next tick, 55 ms at most
    a.jump(JMP, "loop")
    a.label("off")
    a.port(PM1_CONTROL)
    a.put(0xB8, 0x00, 0x20, 0xEF, 0xF4)  # mov ax, 0x2000; out dx, ax; hlt: to state S5
    a.jump(JMP, "off")
    a.label("dirty")  # 512 KiB from 0x10000 on, again and again
    a.put(0xB8, 0x00, 0x10)  # mov ax, 0x1000
    a.label("segment")
    a.put(0x8E, 0xC0, 0x31, 0xFF, 0xB9, 0x00, 0x80)  # mov es, ax; xor di, di; mov cx, 0x8000
    a.label("write")
    a.put(0x26, 0xFF, 0x05, 0x47, 0x47, 0xE2, 0xF9)  # inc word es:[di]; inc di; inc di; loop write
    a.put(0x05, 0x00, 0x10, 0x3D, 0x00, 0x90)  # add ax, 0x1000; cmp ax, 0x9000
    a.jump(JNZ, "segment")
    a.jump(JMP, "dirty")
    return a.done()


def write_disk(path: Path) -> None:
    """A raw disk of 1 MiB that boots it."""
    path.write_bytes(boot_sector().ljust(1024**2, b"\0"))
