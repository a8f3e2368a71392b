"""The simulation bites: what is broken on purpose is caught within a few seeds."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from corral.agent import reconcile
from corral.controllers import migration_plan, moving, placement, vm_plan
from corral.model.link import VmRole
from corral.model.vm import DomainState
from corral.scheduler.fleet import Fleet
from corral.server import assignments
from corral.store.memory import MemoryStore
from tests.sim.history import play

SEEDS = range(120)


def caught(words: str, seeds: Iterable[int] = SEEDS, *, devices: bool = False) -> bool:
    """Whether a history violates something that says so in these words."""
    return any(words in violation for seed in seeds for violation in play(seed, devices=devices).violations)


def test_silence_taken_for_death_runs_a_vm_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic: the source is silent, so its VM is given to the target."""
    really = migration_plan._reachable

    def impatient(vm: Any, status: Any, seen: Any) -> Any:
        node = status.node
        if node and not really(seen, node) and not vm.deleting:
            other = next((n for n in seen.nodes if n != node), None)
            if other:
                return msgspec.structs.replace(
                    status, node=other, migration=None, stint=status.stint + 1
                ), None
        return migration_plan_really(vm, status, seen)

    migration_plan_really = migration_plan.plan_migration
    monkeypatch.setattr(vm_plan, "plan_migration", impatient)
    assert caught(" runs on ")


def test_a_target_that_starts_by_itself_runs_a_vm_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    really = assignments.role

    def generous(vm: Any, node: Any) -> VmRole:
        role = really(vm, node)
        return VmRole.OWNER if role is VmRole.TARGET else role

    monkeypatch.setattr(assignments, "role", generous)
    assert caught(" runs on ")


def test_believing_an_old_report_leaves_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node says that it has nothing, before it heard what it was to let go of."""
    monkeypatch.setattr(
        vm_plan, "_let_go", lambda report, stint: report is None or report.state is DomainState.ABSENT
    )
    assert caught("orphan")


def test_an_agent_that_forgets_what_it_sent_away_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the note about its migration an agent takes a VM that has left for one that has to be started."""
    really: Callable[..., Any] = reconcile._as_source

    def forgetful(vm: Any, seen: Any) -> Any:
        owner = msgspec.structs.replace(vm, role=VmRole.OWNER, migrate=None)
        note = msgspec.structs.replace(seen.note, sent_away="", ran=False) if seen.note else None
        gone = seen.domain is None or seen.domain.state is DomainState.STOPPED
        if gone and not seen.moving:
            return reconcile._as_owner(owner, msgspec.structs.replace(seen, note=note))
        return really(vm, seen)

    monkeypatch.setattr(reconcile, "_as_source", forgetful)
    assert caught(" runs on ")


def test_a_store_that_forgets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit in fifty is answered and not kept."""
    really = MemoryStore.commit

    async def careless(self: Any, writes: Any, **given: Any) -> Any:
        if self._ledger.revision % 50 == 49 and len(writes) > 1:
            revision = self._ledger.revision
            return tuple(w.resource.having(revision=revision) for w in writes if hasattr(w, "resource"))
        return await really(self, writes, **given)

    monkeypatch.setattr(MemoryStore, "commit", careless)
    assert caught("was acknowledged and is gone")


def test_a_node_that_deletes_the_volume_it_has_just_got_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration ends, and the wrong one of a local volume's two files goes."""
    really = moving.end_moving

    def confused(status: Any, migration: Any, owner: Any) -> Any:
        return really(status, migration, migration.source)

    monkeypatch.setattr(moving, "end_moving", confused)
    assert caught("without what it wrote") or caught("orphan file")


def test_a_copy_onto_a_used_file_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old file that is still there is taken for a new one."""
    monkeypatch.setattr(placement, "_without", lambda vm, along: frozenset({vm.status.node}))
    monkeypatch.setattr(assignments, "_in_use", lambda mirror, node, volume: True)
    assert caught("onto a used", range(150, 400))  # it takes a way there and back: few histories have one


def test_a_device_that_is_given_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others hold is not looked at."""
    monkeypatch.setattr(Fleet, "held", lambda self, node: {})
    monkeypatch.setattr(
        Fleet, "_count_units", lambda self, row, node: self.stock.set_row(row, self.units.get(node, ()), {})
    )
    assert caught("is given to", devices=True)
