"""Doctor: is this machine fit to be a node, and if it is one, is it well?

In this room   Machine, what was seen; judge(), pure; look_around(), the thin part that looks
Comes in       AgentConfig
Goes out       Checks, each with what was found and how to mend it
Always true    it changes nothing, needs no server and no agent, and each look has a deadline
Next door      server/services/diagnosing.py looks at the whole installation
Start here     judge()
"""

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from corral.agent.config import AgentConfig
from corral.agent.identity import Identity, NotJoined
from corral.clock import Clock
from corral.command import run
from corral.errors import CorralError, Unavailable
from corral.model.node import AcceleratorKind, Inventory
from corral.model.units import GiB, format_size

LOOK_S: Final = 10.0
DAY_S: Final = 86_400.0
PROGRAMS: Final = {  # program: Debian package, what for
    "qemu-system-x86_64": ("qemu-system-x86", "runs guests"),
    "qemu-img": ("qemu-utils", "makes volumes"),
    "dnsmasq": ("dnsmasq-base", "gives guests their addresses"),
    "nft": ("nftables", "keeps guests from sending under others' addresses"),
    "swtpm": ("swtpm", "is the TPM of guests that have one"),
}
NEEDED: Final = frozenset({"qemu-system-x86_64", "qemu-img"})
ROOM_LOW_BYTES: Final = 10 * GiB


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Check(Struct, frozen=True, kw_only=True):
    verdict: Verdict
    what: str  # libvirt, KVM, disk, …
    found: str
    hint: str = ""


class Machine(Struct, frozen=True, kw_only=True):
    """What was seen of a machine."""

    root: bool = True
    programs: Mapping[str, str] = {}  # path by name, of those that are installed
    inventory: Inventory | None = None  # None: libvirt does not answer
    libvirt_error: str = ""
    free_bytes: int = 0  # where Corral keeps its data
    clock_synchronised: bool | None = None  # None: nobody says
    joined: str = ""  # name of the node; empty: not joined
    join_error: str = ""
    certificate_left_s: float = 0.0  # until it is due for renewal
    servers: Mapping[str, str] = {}  # why each can't be reached, by HOST:PORT; empty: it can
    agent_runs: bool = False


def judge(machine: Machine) -> tuple[Check, ...]:
    """Every check, in the order in which one would mend things."""
    return (
        *_rights(machine),
        *_programs(machine),
        *_libvirt(machine),
        *_surroundings(machine),
        *_membership(machine),
    )


def _rights(machine: Machine) -> Iterator[Check]:
    if not machine.root:
        yield Check(
            verdict=Verdict.WARNING,
            what="rights",
            found="not root: some of what follows may only look missing",
            hint="Run it again with sudo.",
        )


def _programs(machine: Machine) -> Iterator[Check]:
    for name, (package, why) in PROGRAMS.items():
        if path := machine.programs.get(name):
            yield Check(verdict=Verdict.OK, what=name, found=path)
        else:
            level = Verdict.ERROR if name in NEEDED else Verdict.WARNING
            yield Check(
                verdict=level, what=name, found=f"not installed; it {why}", hint=f"apt-get install {package}"
            )


def _libvirt(machine: Machine) -> Iterator[Check]:
    inventory = machine.inventory
    if inventory is None:
        yield Check(
            verdict=Verdict.ERROR,
            what="libvirt",
            found=machine.libvirt_error,
            hint="apt-get install libvirt-daemon-system; systemctl enable --now libvirtd",
        )
        return
    yield Check(verdict=Verdict.OK, what="libvirt", found=inventory.hypervisor)
    if inventory.accelerator.kind is AcceleratorKind.KVM:
        tried = f"a guest booted in {inventory.accelerator.tried_s:.1f} s"
        yield Check(verdict=Verdict.OK, what="KVM", found=tried)
    else:
        yield Check(
            verdict=Verdict.WARNING,
            what="KVM",
            found=f"{inventory.accelerator.reason}; guests would run in software, about nine times slower",
            hint="Switch virtualisation on in the firmware (SVM, VT-x); on a virtual machine, let its host nest it.",
        )
    if inventory.bridges:
        yield Check(verdict=Verdict.OK, what="bridges", found=", ".join(inventory.bridges))
    else:
        yield Check(
            verdict=Verdict.WARNING,
            what="bridges",
            found="there is none: guests could only use networks that Corral makes itself",
            hint="docs/operations/install.md shows how to put the host's address on a bridge.",
        )
    if inventory.domains:
        yield Check(
            verdict=Verdict.OK,
            what="domains",
            found=f"{len(inventory.domains)} that Corral does not manage; they stay as they are",
        )


def _surroundings(machine: Machine) -> Iterator[Check]:
    low = machine.free_bytes < ROOM_LOW_BYTES
    yield Check(
        verdict=Verdict.WARNING if low else Verdict.OK,
        what="disk",
        found=f"{format_size(machine.free_bytes)} free where Corral keeps its data",
        hint="Make room, or mount a larger disk there." if low else "",
    )
    if machine.clock_synchronised is False:
        yield Check(
            verdict=Verdict.WARNING,
            what="clock",
            found="it is not synchronised",
            hint="systemctl enable --now systemd-timesyncd (or chrony): times in events would be off.",
        )
    elif machine.clock_synchronised:
        yield Check(verdict=Verdict.OK, what="clock", found="synchronised")


def _membership(machine: Machine) -> Iterator[Check]:
    if not machine.joined:
        yield Check(
            verdict=Verdict.WARNING,
            what="node",
            found=machine.join_error or "this host has not joined a server",
            hint="`corral node join-token` at the server prints what `corral agent join` needs.",
        )
        return
    yield Check(verdict=Verdict.OK, what="node", found=machine.joined)
    overdue = machine.certificate_left_s < 0
    yield Check(
        verdict=Verdict.WARNING if overdue else Verdict.OK,
        what="certificate",
        found="its renewal is overdue"
        if overdue
        else f"is renewed in {machine.certificate_left_s / DAY_S:.0f} days",
        hint="The agent renews it once it reaches a server." if overdue else "",
    )
    for server, why in machine.servers.items():
        yield Check(
            verdict=Verdict.ERROR if why else Verdict.OK,
            what="server",
            found=f"{server}: {why or 'reached'}",
            hint="Is it up, and does a firewall let this host through?" if why else "",
        )
    yield Check(
        verdict=Verdict.OK if machine.agent_runs else Verdict.ERROR,
        what="agent",
        found="runs" if machine.agent_runs else "does not run: what this node does is not seen or changed",
        hint="" if machine.agent_runs else "systemctl enable --now corral-agent",
    )


# ---- looking


async def look_around(config: AgentConfig, clock: Clock) -> Machine:
    """Look at everything at once; what does not answer in time counts as not there."""
    inventory, synchronised = await asyncio.gather(_inventory(config, clock), _clock_synchronised())
    seen, libvirt_error = inventory
    member, servers = _member(config, clock), {}
    if isinstance(member, Identity):
        addresses = config.servers or member.known.servers
        servers = dict(zip(addresses, await asyncio.gather(*map(_reach, addresses)), strict=True))
    joined = isinstance(member, Identity)
    return Machine(
        root=os.geteuid() == 0,
        programs={name: path for name in PROGRAMS if (path := shutil.which(name, path=_path()))},
        inventory=seen,
        libvirt_error=libvirt_error,
        free_bytes=_free_bytes(config.data_dir),
        clock_synchronised=synchronised,
        joined=member.known.name if isinstance(member, Identity) else "",
        join_error="" if isinstance(member, Identity) else member,
        certificate_left_s=member.renew_in_s(clock.now_s()) if isinstance(member, Identity) else 0.0,
        servers=servers,
        agent_runs=joined and _is_held(config.data_dir),
    )


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


async def _inventory(config: AgentConfig, clock: Clock) -> tuple[Inventory | None, str]:
    """What libvirt tells of this host, or why it does not."""
    try:
        from corral.hypervisor.libvirt.driver import LibvirtHypervisor
    except ImportError:
        return None, "its Python bindings are missing (apt-get install python3-libvirt)"
    hypervisor = LibvirtHypervisor(config.libvirt_uri, clock)
    try:
        async with asyncio.timeout(LOOK_S * 3):  # libvirtd runs every QEMU once when it is first asked
            await hypervisor.open()
            return await hypervisor.inventory(), ""
    except TimeoutError:
        return None, f"{config.libvirt_uri} does not answer within {LOOK_S * 3:g} s"
    except CorralError as error:
        return None, error.message
    finally:
        await hypervisor.close()


async def _clock_synchronised() -> bool | None:
    try:
        said = await run(
            "timedatectl", "show", "-p", "NTPSynchronized", "--value",
            deadline_s=LOOK_S, failed=Unavailable, package="systemd",
        )  # fmt: skip
    except CorralError:
        return None
    return said.output.strip() == "yes" if said.code == 0 else None


async def _reach(address: str) -> str:
    """Why nobody answers there; empty: somebody does."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return f"no answer within {LOOK_S:g} s"
    except (OSError, ValueError) as error:
        return str(error)
    writer.close()
    return ""


def _member(config: AgentConfig, clock: Clock) -> Identity | str:
    """Which node this host is, or why it is none."""
    try:
        identity = Identity(config.data_dir)
        identity.renew_in_s(clock.now_s())
    except NotJoined as error:
        return error.message
    except OSError as error:
        return f"its certificate can't be read: {error}"
    return identity


def _free_bytes(directory: Path) -> int:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return shutil.disk_usage(directory).free


def _is_held(directory: Path) -> bool:
    """Whether an agent has the directory: its process stands in the lock file (files.py)."""
    try:
        pid = int((directory / "lock").read_text())
        return b"corral" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
