"""Trees: snapshots as what stands on what.

In this room   snapshot_trees(), pure: snapshots in, rows in order of a walk with their depth out
Always true    each snapshot is in it once; one whose parent is not among them is a root
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from corral.cli.parts.lookup import Names
from corral.cli.parts.table import Column
from corral.cli.parts.words import age, moment, pairs, yes
from corral.model.units import format_size

if TYPE_CHECKING:
    from corral.model.snapshot import Snapshot
    from corral.model.vm import VM


BESIDE: Final = {"uefi-variables": "UEFI variables", "tpm-state": "state of the TPM"}


class Row(Struct, frozen=True):
    snapshot: "Snapshot"
    depth: int


def snapshot_trees(snapshots: Sequence["Snapshot"]) -> list[Row]:
    """Those of one VM after those of another, each followed by what stands on it, oldest first."""
    children: dict[str, list[Snapshot]] = {}
    known = {snapshot.id for snapshot in snapshots}
    for snapshot in sorted(snapshots, key=lambda s: (s.created_at, s.id)):
        parent = snapshot.spec.parent or ""
        children.setdefault(parent if parent in known else "", []).append(snapshot)
    rows: list[Row] = []
    waiting = [Row(root, 0) for root in sorted(children.get("", []), key=lambda s: s.spec.vm)][::-1]
    while waiting:
        row = waiting.pop()
        rows.append(row)
        waiting += [Row(child, row.depth + 1) for child in children.get(row.snapshot.id, [])][::-1]
    return rows


def snapshot_columns(rows: Sequence[Row], vms: Mapping[str, "VM"]) -> Sequence[Column]:
    depth = {row.snapshot.id: row.depth for row in rows}

    def name(snapshot: "Snapshot") -> str:
        vm = vms.get(snapshot.spec.vm)
        here = " *" if vm and vm.spec.snapshot == snapshot.id else ""
        return "  " * depth[snapshot.id] + snapshot.name + here

    return (
        Column("NAME", name),
        Column("PHASE", lambda s: s.status.phase, phase=True),
        Column("VM", lambda s: vms[s.spec.vm].name if s.spec.vm in vms else s.spec.vm),
        Column(
            "MEMORY",
            lambda s: format_size(s.status.memory_bytes) if s.status.memory_bytes else "-",
            right=True,
        ),
        Column("FROZEN", lambda s: yes(s.status.frozen)),
        Column("AGE", lambda s: age(s.created_at), right=True),
        Column("DESCRIPTION", lambda s: s.spec.description or "-"),
        Column("LABELS", lambda s: pairs(s.labels), wide=True),
        Column("ID", lambda s: s.id, wide=True),
    )


def snapshot_details(snapshot: "Snapshot", names: Names) -> Sequence[tuple[str, str]]:
    spec, status = snapshot.spec, snapshot.status
    lines = (
        ("Name", snapshot.name),
        ("Id", snapshot.id),
        ("Description", spec.description),
        ("Labels", pairs(snapshot.labels)),
        ("Phase", status.phase),
        ("Taken", moment(status.taken_at) if status.taken_at else ""),
        ("VM", names.of("vms", spec.vm)),
        ("Stands on", names.of("snapshots", spec.parent) if spec.parent else ""),
        ("Disks", "\n".join(names.of("volumes", id) for id in spec.disks)),
        ("Memory", format_size(status.memory_bytes) if status.memory_bytes else "not kept"),
        ("Left out", ", ".join(BESIDE[part] for part in spec.left_out)),
        ("File systems at rest", yes(status.frozen)),
        ("Trouble", status.trouble.message if status.trouble else ""),
        ("Hint", status.trouble.hint if status.trouble else ""),
    )
    return [(key, value) for key, value in lines if value]
