"""Phases: each table of transitions covers its enum, leads nowhere else, and leaves nobody stuck."""

from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from pkgutil import iter_modules

import pytest

import corral.model
from corral.model.image import IMAGE_PHASE_NEXT, ImagePhase
from corral.model.node import NODE_PHASE_NEXT, NodePhase
from corral.model.operation import OPERATION_STATE_NEXT, OperationState
from corral.model.rebalance import REBALANCE_PHASE_NEXT, RebalancePhase
from corral.model.snapshot import SNAPSHOT_PHASE_NEXT, SnapshotPhase
from corral.model.vm import VM_PHASE_NEXT, VMPhase
from corral.model.volume import VOLUME_PHASE_NEXT, VolumePhase

Table = Mapping[StrEnum, frozenset[StrEnum]]
TABLES = [  # enum, table, first phase, phases that nothing leads out of
    pytest.param(VMPhase, VM_PHASE_NEXT, VMPhase.PENDING, {VMPhase.DELETING}, id="VM"),
    pytest.param(VolumePhase, VOLUME_PHASE_NEXT, VolumePhase.PENDING, {VolumePhase.DELETING}, id="Volume"),
    pytest.param(ImagePhase, IMAGE_PHASE_NEXT, ImagePhase.PENDING, {ImagePhase.DELETING}, id="Image"),
    pytest.param(
        SnapshotPhase,
        SNAPSHOT_PHASE_NEXT,
        SnapshotPhase.CREATING,
        {SnapshotPhase.DELETING},
        id="Snapshot",
    ),
    pytest.param(NodePhase, NODE_PHASE_NEXT, NodePhase.JOINING, set(), id="Node"),
    pytest.param(
        RebalancePhase,
        REBALANCE_PHASE_NEXT,
        RebalancePhase.PLANNING,
        {RebalancePhase.DONE, RebalancePhase.FAILED, RebalancePhase.CANCELLED},
        id="Rebalance",
    ),
    pytest.param(
        OperationState,
        OPERATION_STATE_NEXT,
        OperationState.RUNNING,
        set(OperationState) - {OperationState.RUNNING},
        id="Operation",
    ),
]


@pytest.mark.parametrize(("enum", "table", "first", "ends"), TABLES)
def test_table_is_closed_over_its_enum(
    enum: type[StrEnum], table: Table, first: StrEnum, ends: set[StrEnum]
) -> None:
    assert set(table) == set(enum), "a phase has no row"
    assert all(next <= set(enum) for next in table.values()), "a row leads out of the enum"


@pytest.mark.parametrize(("enum", "table", "first", "ends"), TABLES)
def test_every_phase_can_be_reached_and_only_ends_are_final(
    enum: type[StrEnum], table: Table, first: StrEnum, ends: set[StrEnum]
) -> None:
    reached, new = {first}, {first}
    while new:
        new = {phase for known in new for phase in table[known]} - reached
        reached |= new
    assert reached == set(enum)
    assert {phase for phase, following in table.items() if not following - {phase}} == ends


def test_every_table_of_the_model_is_tested_here() -> None:
    names = {
        name
        for module in iter_modules(corral.model.__path__)
        for name in vars(import_module(f"corral.model.{module.name}"))
        if name.endswith("_NEXT")
    }
    tested = {
        "VM_PHASE_NEXT",
        "VOLUME_PHASE_NEXT",
        "IMAGE_PHASE_NEXT",
        "NODE_PHASE_NEXT",
        "OPERATION_STATE_NEXT",
        "SNAPSHOT_PHASE_NEXT",
        "REBALANCE_PHASE_NEXT",
    }
    assert names == tested
