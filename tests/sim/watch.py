"""Watch: what must hold at every moment of a history.

In this room   StoreWatch, told of each commit; the rules that need no server
Goes out       violations, in words
"""

from collections.abc import Sequence

from corral.model.node import Node
from corral.model.operation import OPERATION_STATE_NEXT, Operation
from corral.model.resource import Resource
from corral.model.snapshot import SNAPSHOT_PHASE_NEXT, Snapshot
from corral.model.vm import VM, VM_PHASE_NEXT
from corral.store.interface import Change, ChangeVerb


class StoreWatch:
    """Looks at each commit as it becomes visible."""

    def __init__(self) -> None:
        self.revision = 0
        self.last: dict[str, Resource] = {}
        self.violations: list[str] = []
        self.slices: dict[tuple[str, str], int] = {}  # that there could be, by node and key
        self.most_held = 0  # devices at once

    def see(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.revision != self.revision + 1:
                self.violations.append(f"revision {change.revision} follows {self.revision}")
            self.revision = change.revision
            self._transition(self.last.get(change.resource.id), change)
            if change.verb is ChangeVerb.REMOVE:
                self.last.pop(change.resource.id, None)
            else:
                self.last[change.resource.id] = change.resource
        if any(isinstance(c.resource, VM | Node) for c in changes):
            self._claims()
            self._devices()

    def _transition(self, old: Resource | None, change: Change) -> None:
        new = change.resource
        if change.verb is ChangeVerb.REMOVE:
            return
        if isinstance(old, VM) and isinstance(new, VM):
            before, after = old.status.phase, new.status.phase
            if before is not after and after not in VM_PHASE_NEXT[before]:
                self.violations.append(f"{new.name} went from {before} to {after}")
            if new.status.stint < old.status.stint:
                self.violations.append(f"{new.name}: stint went back from {old.status.stint}")
        if isinstance(old, Snapshot) and isinstance(new, Snapshot):
            was, now = old.status.phase, new.status.phase
            if was is not now and now not in SNAPSHOT_PHASE_NEXT[was]:
                self.violations.append(f"{new.name} went from {was} to {now}")
        if isinstance(old, Operation) and isinstance(new, Operation):
            before_, after_ = old.status.state, new.status.state
            if before_ is not after_ and after_ not in OPERATION_STATE_NEXT[before_]:
                self.violations.append(f"{new.id} went from {before_} to {after_}")

    def _claims(self) -> None:
        """What VMs hold of each node is within what it has."""
        memory: dict[str, int] = {}
        for resource in self.last.values():
            if isinstance(resource, VM) and not resource.spec.adoption:  # those ran there before, room or not
                for node in resource.claimed_on:
                    memory[node] = memory.get(node, 0) + resource.spec.memory_bytes
        for id, claimed in memory.items():
            node = self.last.get(id)
            if isinstance(node, Node) and node.status.inventory.memory_bytes:
                room = node.status.inventory.memory_bytes - node.spec.reserve_memory_bytes
                if claimed > room * node.spec.memory_overcommit:
                    self.violations.append(f"{node.name}: {claimed} bytes claimed of {room}")

    def _devices(self) -> None:
        """No device is held by two VMs, no more slices than there could be, and of one type on a card."""
        held: dict[tuple[str, str], list[str]] = {}
        for resource in self.last.values():
            if isinstance(resource, Node):
                for device in resource.status.inventory.devices:
                    for each in device.slices:
                        key = (resource.id, f"mdev:{device.address}:{each.type}")
                        self.slices[key] = max(self.slices.get(key, 1), each.instances)
            elif isinstance(resource, VM):
                for node in resource.claimed_on:
                    for has in resource.status.platform.devices:
                        held.setdefault((node, has.key), []).append(resource.name)
        for where, vms in held.items():
            if len(vms) > self.slices.get(where, 1):
                self.violations.append(f"{where[0]}: {where[1]} is given to {' and '.join(vms)}")
        cut = [(node, key.rpartition(":")[0]) for node, key in held if key.startswith("mdev:")]
        if len(set(cut)) < len(cut):
            self.violations.append(f"slices of two types on one card: {sorted(held)}")
        self.most_held = max(self.most_held, sum(map(len, held.values())))
