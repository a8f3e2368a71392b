"""Lab: up, down, and the accidents in between.

In this room   Lab: a server and nodes on this machine, as one thing
Comes in       LabPlan, or the directory of a lab that is there; names of nodes
Goes out       a running lab; Seen, what each node is like; progress, told as it goes
Always true    `up` may be repeated and takes up whatever is missing; `down` removes whatever is there
Next door      plan.py decides names, wires.py and machine.py make things, furnish.py talks to the API
Start here     Lab.up()
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from corral.client import Client
from corral.clock import SystemClock
from corral.lab import furnish, programs, wires
from corral.lab.host import LabFailed, locked, need_root, run, wait_for, write_whole
from corral.lab.machine import Machine
from corral.lab.plan import CORRAL_DIR, LIBVIRT_DIRS, PKI, LabPlan, NodePlan, libvirtd_conf, qemu_conf
from corral.lab.state import LabState, load
from corral.server.peers import write_peer_files
from corral.server.pki import Authority

Tell = Callable[[str], None]


class Seen(Struct, frozen=True, kw_only=True):
    """A node of the lab, as it is."""

    name: str
    address: str
    on: bool
    cable: bool  # plugged in
    units: dict[str, bool]  # what is to run in it, and whether it does


class Lab:
    """A lab that is there, or is to be."""

    def __init__(self, plan: LabPlan, *, context: str = "", tell: Tell = lambda line: None) -> None:
        self.plan, self.context, self.tell = plan, context, tell
        self.server = Machine(programs.server_machine(plan))

    @classmethod
    def at(cls, dir: Path, tell: Tell = lambda line: None) -> "Lab":
        """The lab in this directory. raises LabFailed: there is none"""
        state = load(dir)
        if state is None:
            raise LabFailed(f"there is no lab in {dir}", hint="`corral lab up` makes one.")
        return cls(state.plan, context=state.context, tell=tell)

    @cached_property
    def client(self) -> Client:
        """Its API, as the admin."""
        return furnish.client_of(self.plan)

    # ---- up

    def up(self) -> None:
        """Make the lab, or what is missing of it, and wait until all of it is ready.

        raises  LabNeedsRoot, LabFailed; what was made stays, for `up` to go on or `down` to remove
        """
        need_root()
        self.claim()
        with locked(self.plan.dir / "lock"):
            self.tell(f"bridge {self.plan.bridge}, {self.plan.cidr}")
            wires.lay_bridge(self.plan)
            self._init_server()  # its CA signs what the nodes' libvirts start with
            with ThreadPoolExecutor(max_workers=8) as threads:
                server = threads.submit(self._start_server)
                list(threads.map(self._start_node, self.plan.members))
                self.tell("libvirt runs on " + ", ".join(n.name for n in self.plan.members))
                server.result()
                self.tell(f"server is ready at {self.plan.url}")
                furnish.furnish(self.plan, self.client)
                self._join_all(threads)
            furnish.wait_for_nodes(self.plan, self.client, frozenset(n.name for n in self.plan.members))
            if self.context:
                furnish.tell_user(self.plan, self.context)

    def claim(self) -> None:
        """Write down which lab this is before anything is made of it.

        raises  LabFailed: the directory has another lab, or something else
        """
        here = load(self.plan.dir)
        if here is None:
            if self.plan.dir.exists() and any(self.plan.dir.iterdir()):
                raise LabFailed(f"{self.plan.dir} is not empty, and no lab", hint="Choose another --dir.")
            self.plan.dir.mkdir(parents=True, exist_ok=True)
            LabState(plan=self.plan, context=self.context).save()
            made = tuple(str(path) for path in _mount_points() if _made(path))
            LabState(plan=self.plan, context=self.context, made=made).save()
            return
        if replace(here.plan, nodes=self.plan.nodes) != self.plan or here.plan.nodes > self.plan.nodes:
            raise LabFailed(
                f"{self.plan.dir} has another lab: {here.plan.nodes} nodes on {here.plan.bridge}, {here.plan.cidr}",
                hint="Use its values (more nodes are fine), or take it down first: `corral lab down`.",
            )
        replace(here, plan=self.plan, context=self.context or here.context).save()

    def _init_server(self) -> None:
        plan = self.plan
        self.server.plan.dir.mkdir(parents=True, exist_ok=True)
        plan.server_dir.mkdir(exist_ok=True)
        if not plan.contexts.exists():
            run("env", *_pairs(programs.server_env(plan)), *programs.server_init(plan), timeout_s=60.0)

    def _start_server(self) -> None:
        self.server.power_on()
        self.start_server()

    def _start_node(self, node: NodePlan) -> None:
        for path in (self.plan.shared_dir, *node.dirs):
            path.mkdir(parents=True, exist_ok=True)
        tls = (self.plan.server_dir / "ca").exists()  # a lab without a server has nobody to sign
        write_whole(node.dir / "etc" / "libvirtd.conf", libvirtd_conf(node, tls=tls))
        write_whole(node.dir / "etc" / "qemu.conf", qemu_conf(node, tls=tls))
        if tls:
            self._make_peer_files(node)
        hosts = node.dir / "hosts"
        hosts.write_text(self.plan.hosts_text)  # in place: it is mounted in a node that is on
        wires.lay_cable(self.plan, node)
        wires.set_cable(node, up=True)
        machine = self.machine(node)
        machine.power_on()
        wait_for(f"libvirt on {node.name}", lambda: _libvirt_answers(machine), 20.0)

    def _make_peer_files(self, node: NodePlan) -> None:
        directory = node.dir / "etc" / PKI.name
        if not directory.exists():
            authority = Authority.open(self.plan.server_dir / "ca", SystemClock(), create=False)
            write_peer_files(authority, [node.address, node.name], directory)

    def _join_all(self, threads: ThreadPoolExecutor) -> None:
        new = [node for node in self.plan.members if not _joined(node)]
        secrets = [self.client.nodes.join_token(ttl_s=600.0).secret for _ in new]

        def join(node: NodePlan, secret: str) -> None:
            self.machine(node).run(*programs.agent_join(node, secret), timeout_s=60.0)
            self.tell(f"{node.name} has joined")

        list(threads.map(join, new, secrets))
        for node in self.plan.members:
            self.machine(node).start_unit(programs.AGENT, programs.agent_unit(node))

    # ---- accidents, and what heals them

    def kill(self, name: str) -> None:
        """Sudden death of a host: silence on the wire, then all its processes are gone, guests included."""
        node = self.plan.node(name)
        wires.set_cable(node, up=False)
        self.machine(node).power_off()

    def cut(self, name: str) -> None:
        """Pull the node's cable: it runs on, and hears and says nothing."""
        wires.set_cable(self.plan.node(name), up=False)

    def heal(self, name: str) -> None:
        """Plug the cable in, and switch the node on if it is off."""
        need_root()
        self._start_node(self.plan.node(name))

    def kill_unit(self, name: str, unit: str) -> None:
        """SIGKILL one program of a node; init starts it again, as systemd would."""
        self.machine(self.plan.node(name)).ask("kill", unit=unit)

    def stop_unit(self, name: str, unit: str, number: int = signal.SIGKILL) -> None:
        """End one program of a node until start_unit()."""
        self.machine(self.plan.node(name)).ask("stop", unit=unit, signal=int(number))

    def start_unit(self, name: str, unit: str) -> None:
        self.machine(self.plan.node(name)).ask("start", unit=unit)

    def stop_server(self, number: int = signal.SIGKILL) -> None:
        """End the server until start_server(). Without notice, unless another signal is given."""
        self.server.ask("stop", unit=programs.SERVER, signal=int(number))
        wait_for("end of the server", lambda: not self.server.units()[programs.SERVER]["up"], 20.0)

    def start_server(self) -> None:
        """Start the server and wait until it is ready; no error when it is."""
        self.server.start_unit(programs.SERVER, programs.server_unit(self.plan))
        furnish.wait_for_server(self.plan)

    def execute(self, name: str, command: Sequence[str]) -> int:
        """Run a program in a node, on this terminal; its exit status."""
        return self.machine(self.plan.node(name)).execute(command)

    def run(self, name: str, *command: str, timeout_s: float = 30.0) -> str:
        """Run a program in a node and return what it prints. raises LabFailed"""
        return self.machine(self.plan.node(name)).run(*command, timeout_s=timeout_s)

    def machine(self, node: NodePlan) -> Machine:
        return Machine(programs.node_machine(self.plan, node, joined=_joined(node)))

    def see(self) -> tuple[Seen, ...]:
        """What the nodes are like, as the machine knows it; no API is asked."""
        return tuple(self._seen(node) for node in self.plan.members)

    def _seen(self, node: NodePlan) -> Seen:
        machine = self.machine(node)
        units = {name: bool(unit["up"]) for name, unit in machine.units().items()}
        return Seen(
            name=node.name, address=node.address, on=machine.on, cable=wires.cable_up(node), units=units
        )

    # ---- down

    def down(self) -> None:
        """Remove all of it: processes, namespaces, links, mounts, files. May be repeated."""
        need_root()
        state = load(self.plan.dir)
        if state is None:
            return
        with contextlib.suppress(FileNotFoundError), locked(self.plan.dir / "lock"):
            with ThreadPoolExecutor(max_workers=8) as threads:
                machines = [self.server, *(self.machine(node) for node in self.plan.members)]
                list(threads.map(Machine.power_off, machines))
            wires.take_away(self.plan)
            if state.context:
                furnish.forget_user(self.plan, state.context)
            for path in _mounted_below(self.plan.dir):
                run("umount", "--lazy", path)
            shutil.rmtree(self.plan.dir)
            for made in reversed(state.made):
                _unmake(Path(made))


def _mount_points() -> Iterator[Path]:
    """Directories of the host that nodes mount theirs over."""
    for path in (*LIBVIRT_DIRS.values(), CORRAL_DIR):
        yield from (p for p in reversed(path.parents) if not p.exists())
        yield path


def _made(path: Path) -> bool:
    if path.exists():
        return False
    path.mkdir()
    return True


def _unmake(path: Path) -> None:
    """Remove an empty mount point, unless another lab's nodes have something mounted there."""
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if any(line.split()[4] == str(path) for line in table.read_text().splitlines()):
                return
    with contextlib.suppress(OSError):
        path.rmdir()


def _mounted_below(dir: Path) -> list[str]:
    """What is mounted in the lab's directory on the host itself, innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in reversed(points) if Path(point).is_relative_to(dir)]


def _joined(node: NodePlan) -> bool:
    return (node.dir / "corral" / "agent" / "cert.pem").exists()


def _libvirt_answers(machine: Machine) -> bool:
    with contextlib.suppress(LabFailed):
        machine.run("virsh", "--quiet", "--connect", "qemu:///system", "uri", timeout_s=5.0)
        return True
    return False


def _pairs(env: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in {**env, "HOME": os.environ.get("HOME", "/root")}.items()]
