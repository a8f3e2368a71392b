"""A test guest under plain QEMU, without libvirt: what the tests of storage, network and the image boot."""

import asyncio
import json
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from corral.lab import guest

IMAGE = (
    Path(__file__).parents[2] / ".cache/test/guest.qcow2"
)  # kept between runs, built anew when its inputs change
AGENT = "org.qemu.guest_agent.0"


def a_disk(directory: Path) -> Path:
    """A fresh disk on top of the test guest's image."""
    path = directory / "disk.qcow2"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", guest.build(IMAGE), "-F", "qcow2", path]
    subprocess.run(words, check=True)
    return path


class Guest:
    """QEMU in software emulation; console, guest agent and monitor at hand. Killed when the block is left."""

    def __init__(
        self, directory: Path, disk: Path | str, *, seed: str = "", nic: str = "", namespace: str = ""
    ) -> None:
        self.directory = directory
        self.console = ""
        self._words = [
            *(("ip", "netns", "exec", namespace) if namespace else ()),
            "qemu-system-x86_64", "-accel", "tcg,tb-size=32", "-cpu", "qemu64", "-m", "128", "-nodefaults",
            "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-drive", f"file={disk},if=virtio,format=qcow2",
            "-device", "virtio-serial", "-chardev", f"socket,id=a,path={directory}/agent,server=on,wait=off",
            "-device", f"virtserialport,chardev=a,name={AGENT}",
            "-qmp", f"unix:{directory}/monitor,server=on,wait=off",
            *(("-drive", f"file={seed},if=virtio,format=raw,readonly=on") if seed else ()),
            *(("-netdev", nic, "-device", "virtio-net-pci,netdev=n,mac=52:54:00:00:00:0a,romfile=") if nic else ()),
        ]  # fmt: skip

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self._words, stdin=pipe, stdout=pipe)
        self._said = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout
        while data := await self.process.stdout.read(4096):
            async with self._said:
                self.console += data.decode(errors="replace")
                self._said.notify_all()

    async def says(self, text: str, *, within_s: float = 40.0) -> None:
        """Wait until `text` is on the console."""
        try:
            async with asyncio.timeout(within_s), self._said:
                await self._said.wait_for(lambda: text in self.console)
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come; the console says:\n{self.console}") from None

    def type(self, line: str) -> None:
        """Type a line into the console's shell."""
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")

    async def ask_agent(self, command: str, *, within_s: float = 40.0, **arguments: object) -> object:
        """What the guest agent answers."""
        reader, writer = await self._connect("agent")
        try:
            async with asyncio.timeout(within_s):
                await self._sync(reader, writer)
                writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
                while True:
                    answer = json.loads(await reader.readline())
                    assert "error" not in answer, answer
                    if answer["return"] != 7:  # late answers to the sync
                        return answer["return"]
        finally:
            writer.close()

    async def _connect(self, socket: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """QEMU opens its sockets a moment after it was started."""
        async with asyncio.timeout(10):
            while True:
                with suppress(FileNotFoundError, ConnectionRefusedError):
                    return await asyncio.open_unix_connection(str(self.directory / socket))
                await asyncio.sleep(0.05)

    async def _sync(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The port swallows what comes before the agent runs: ask until it answers."""
        while True:
            writer.write(b'{"execute": "guest-sync", "arguments": {"id": 7}}\n')
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await reader.readline()
                    return

    async def press_power_button(self) -> None:
        reader, writer = await self._connect("monitor")
        for command in (b'{"execute": "qmp_capabilities"}', b'{"execute": "system_powerdown"}'):
            writer.write(command)
            while "return" not in json.loads(await reader.readline()):
                pass  # the greeting, and events
        writer.close()

    async def ends(self, *, within_s: float = 15.0) -> int:
        """Wait until QEMU ends by itself; its exit code."""
        try:
            async with asyncio.timeout(within_s):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"the guest did not shut down; the console says:\n{self.console}") from None
