"""World: a whole lab as its tests see it: through the API, and behind Corral's back through virsh."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from corral.client import Client
from corral.errors import CorralError, NotFound
from corral.lab.counting import USER_DATA, Listener
from corral.lab.lab import Lab
from corral.model.operation import Operation
from corral.model.vm import VM
from corral.model.volume import Volume

IMAGE = "guest"


class World:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @property
    def client(self) -> Client:
        return self.lab.client

    @property
    def nodes(self) -> list[str]:
        return [node.name for node in self.lab.plan.members]

    # ---- through the API

    def ask_for(self, name: str, *, pool: str = "shared", node: str = "", **fields: Any) -> Operation:
        """Ask for a VM, spread over the nodes if nothing else is said; does not wait."""
        fields.setdefault("policy", "spread")
        return self.client.vms.create(
            name=name,
            memory="128MiB",
            disks=[{"image": IMAGE, "pool": pool}],
            nics=[{"network": "default"}],
            cloud_init={"user_data": USER_DATA},
            node=node,
            **fields,
        )

    def make(self, name: str, **fields: Any) -> VM:
        """A VM whose domain runs; its guest boots still."""
        self.wait(self.ask_for(name, **fields))
        return self.vm(name)

    def make_up(self, name: str, **fields: Any) -> VM:
        """A VM whose guest says that it is up."""
        self.make(name, **fields)
        return self.guest_up(name)

    def guest_up(self, name: str, timeout_s: float = 60.0) -> VM:
        def up() -> bool:
            vm = self.vm(name)  # its agent may answer before DHCP has
            return vm.status.guest.up and bool(vm.status.guest.addresses or not vm.spec.nics)

        self.until(f"guest of {name} up, with its address", up, timeout_s)
        return self.vm(name)

    def vm(self, name: str) -> VM:
        return self.client.vms.get(name)

    def wait(self, operation: Operation, timeout_s: float = 90.0) -> Operation:
        return self.client.operations.wait(operation, timeout_s=timeout_s)

    def ended(self, operation: Operation, timeout_s: float = 90.0) -> Operation:
        """The operation when it has ended, well or not."""
        self.until(
            f"end of {operation.spec.verb}", lambda: self.client.operations.get(operation.id).ended, timeout_s
        )
        return self.client.operations.get(operation.id)

    def remove(self, name: str) -> None:
        """Delete a VM if it is there, and its volumes for good: the lab's disk is small."""
        try:
            if not self.vm(name).deleting:
                self.client.vms.stop(name, force=True)
            self.wait(self.client.vms.delete(name, purge=True))
        except NotFound:
            return

    def node_of(self, name: str) -> str:
        return self.client.nodes.get(self.vm(name).status.node or "nowhere").name

    @contextmanager
    def listening(self, name: str) -> Iterator[Listener]:
        with Listener(self.lab.plan.url, self.client.connection.token, name) as listener:
            yield listener

    # ---- behind its back

    def virsh(self, node: str, *words: str) -> str:
        return self.lab.run(node, "virsh", "--quiet", "--connect", "qemu:///system", *words)

    def domains(self, node: str, *, running: bool = False) -> list[str]:
        words = ("list", "--name", "--state-running") if running else ("list", "--name", "--all")
        return self.virsh(node, *words).split()

    def runs_on(self, name: str) -> list[str]:
        """Nodes on which a domain of this name runs: never more than one."""
        return [n for n in self.powered() if name in self.domains(n, running=True)]

    def powered(self) -> list[str]:
        return [seen.name for seen in self.lab.see() if seen.on]

    def qemu_pid(self, node: str, name: str) -> int:
        return int(self.lab.run(node, "cat", f"/run/libvirt/qemu/{name}.pid"))

    def strays(self) -> list[str]:
        """Domains and volume files that the API does not know, or knows elsewhere."""
        vms = {vm.name: vm for vm in self.client.vms.list()}
        volumes = {v.id for v in self.client.volumes.list()}
        found = []
        for node in self.powered():
            id = self.client.nodes.get(node).id
            for name in self.domains(node):
                if name not in vms or id not in vms[name].claimed_on:
                    found.append(f"domain {name} on {node}")
            for file in self.volume_files(node):
                if file.split(".")[0] not in volumes:
                    found.append(f"volume {file} on {node}")
        return sorted(set(found))

    def volume_files(self, node: str) -> list[str]:
        return self.lab.run(
            node, "sh", "-c", "cd /var/lib/corral/pools && ls */volumes | grep -v : || true"
        ).split()

    def tidy(self, timeout_s: float = 20.0) -> None:
        """Fail unless nothing stray is left, soon."""
        try:
            self.until("nothing stray left", lambda: not self.strays(), timeout_s)
        except AssertionError:
            raise AssertionError(f"left behind: {self.strays()}") from None

    # ---- waiting

    def until(self, what: str, true: Callable[[], bool], timeout_s: float = 30.0) -> float:
        """Look until it is so; returns the seconds that took. What can't be asked is not so."""
        began_s = time.monotonic()
        last: CorralError | None = None
        while time.monotonic() - began_s < timeout_s:
            try:
                if true():
                    return time.monotonic() - began_s
            except CorralError as error:
                last = error
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {timeout_s:g} s; last error: {last}; {self.story()}")

    def story(self) -> str:
        """What the API says of everything, for a failing test's message."""
        try:
            vms = [f"{v.name}: {v.status}" for v in self.client.vms.list()]
            nodes = [f"{n.name}: {n.status.phase}" for n in self.client.nodes.list()]
            volumes: list[Volume] = self.client.volumes.list()
            return "\n".join([*vms, *nodes, *(f"{v.name}: {v.status}" for v in volumes)])
        except CorralError as error:
            return f"the server does not answer: {error}"
