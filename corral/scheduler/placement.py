"""Placement: which node takes a VM, and why not the others.

In this room   Ask, what a VM needs; place(), the decision; why_not(), a refusal in words
Comes in       Fleet, and what a VM asks for
Goes out       Decision: the node, or the number of nodes per reason, the nearest miss, what would make it fit
Always true    equal fleets give equal decisions; ties go to the node that was seen first
Next door      flavours.py searches; special.py knows what holds for single nodes; refusals.py explains;
               controllers/placement.py commits the decision
Start here     place()
"""

from collections.abc import Callable, Hashable, Mapping
from functools import partial

import numpy as np
from msgspec import Struct

from corral.errors import CorralError
from corral.model.hardware import HostDevice, Pinning
from corral.model.ids import NodeId, VmId
from corral.model.policy import SchedulingPolicySpec, Spare
from corral.model.resource import Trouble
from corral.scheduler.dimensions import Bools, Floats
from corral.scheduler.flavours import Outcome, flavours_of
from corral.scheduler.fleet import Fleet
from corral.scheduler.refusals import Refusal, refusal
from corral.scheduler.rules import Rule
from corral.scheduler.spares import REASON, absorbs
from corral.scheduler.special import is_special, specials
from corral.scheduler.traits import Need
from corral.scheduler.wishes import ABSENT, FITS, NOT_READY, SPECIALS, TEXTS, Codes, Reasons, need_of, spec_of

SPARES_TRIED = 8  # nodes that are looked at, best first, for one after which a loss could be absorbed


class Ask(Struct, frozen=True, kw_only=True):
    """What a VM needs of a node."""

    vm: VmId
    cpus: int
    memory_bytes: int
    pools: Mapping[str, int] = {}  # bytes of new volumes by pool; 0: the pool has to be there
    networks: tuple[str, ...] = ()
    only: NodeId | None = None  # this node and no other
    near: frozenset[NodeId] | None = None  # nodes that hold its local volumes
    without: frozenset[NodeId] = frozenset()
    policy: SchedulingPolicySpec | str = "spread"  # or the name of one that is built in
    needs: tuple[Need, ...] = ()
    sites: tuple[Need, ...] = ()  # labels that its node has to have
    hugepage_bytes: int = 0  # its memory consists of pages of this size; 0: ordinary ones
    devices: tuple[HostDevice, ...] = ()
    links: Mapping[str, str] = {}  # by network of `devices`: the host's link, bond or bridge that it is on
    pinning: Pinning | None = None
    dedicated: bool = False  # each vCPU has a CPU for itself
    cells: int = 0  # NUMA cells that it is split over, where its CPUs are dedicated; 0: as few as can be
    gpu_milli: int = 0  # thousandths of GPUs
    iops: int = 0
    mbit: int = 0
    watts: float = 0.0
    rules: tuple[Rule, ...] = ()
    ends_s: float = 0.0  # when it is expected to end; 0: nobody knows
    batch: Hashable = (
        None  # equal for VMs that belong together, and so may well end together; None: it is alone
    )

    @property
    def ordinary_bytes(self) -> int:
        """Memory that is not in hugepages."""
        return 0 if self.hugepage_bytes else self.memory_bytes

    @property
    def flavour(self) -> Hashable:
        """Equal for VMs to which all nodes are the same. What special.py looks at is left out."""
        return (
            self.cpus,
            self.memory_bytes,
            self.hugepage_bytes,
            self.policy,
            self.networks,
            tuple(self.pools.items()),
            self.needs,
            self.sites,
            self.dedicated,
            self.cells,
            self.gpu_milli,
            self.iops,
            self.mbit,
            self.watts,
            self.ends_s,
        )


class Tally:
    """Nodes by code, put into words when somebody asks."""

    def __init__(self, outcome: Outcome) -> None:
        self.counts, self.reasons = outcome.counts.copy(), outcome.reasons

    def named(self) -> dict[str, int]:
        """Nodes by the first reason that excludes them, in the order in which reasons are looked at."""
        codes = [int(code) for code in np.flatnonzero(self.counts) if code not in (FITS, ABSENT)]
        out: dict[str, int] = {}
        for code in sorted(codes, key=_order):
            reason = self.reasons[code]
            out[reason] = out.get(reason, 0) + int(self.counts[code])
        return out


class Decision(Struct, frozen=True, kw_only=True):
    """Where, and why not elsewhere."""

    node: NodeId | None
    tally: Tally
    score: float = 0.0  # of the chosen node, see the policy
    nearest: NodeId | None = None  # when none fits: what lacks least
    lacks: str = ""  # and what that is, in words
    never: str = ""  # why it can't fit even where nothing else is
    changes: tuple[str, ...] = ()  # each of which would make it fit; the smallest first

    @property
    def nodes(self) -> int:
        """Nodes that were looked at."""
        return int(self.tally.counts[:ABSENT].sum())

    @property
    def out(self) -> Mapping[str, int]:
        """Nodes by the first reason that excludes them."""
        return self.tally.named()


class NoRoom(CorralError):
    """No node can take the VM at the moment."""

    code = "placement.no_room"
    status = 409
    retryable = True


class NeverFits(CorralError):
    """No node that there is could take the VM, even if it were empty."""

    code = "placement.never_fits"
    status = 409


def place(fleet: Fleet, ask: Ask, *, explain: bool = True) -> Decision:
    """The best node for the VM by its policy. explain: say what it lacks where there is none, which takes longer.

    costs    a few rows for an ask like one before; else every row once
    """
    outcome = _with_spares(fleet, ask, search(fleet, ask))
    tally = Tally(outcome)
    if outcome.row >= 0:
        return Decision(node=fleet.ids[outcome.row], tally=tally, score=outcome.score)
    why = refusal(fleet, ask) if explain and fleet.present.any() else Refusal()
    return Decision(
        node=None,
        tally=tally,
        nearest=why.nearest,
        lacks=why.lacks,
        never=why.never,
        changes=why.changes,
    )


def _with_spares(fleet: Fleet, ask: Ask, outcome: Outcome) -> Outcome:
    """The best row after which a loss could still be absorbed, where the policy asks for that."""
    spare = spec_of(ask.policy).spare
    if spare is Spare.NONE:
        return outcome
    need, refused = need_of(ask), np.zeros(fleet.size, dtype=bool)
    for _ in range(SPARES_TRIED):
        if outcome.row < 0 or absorbs(fleet, need, outcome.row, spare):
            return outcome
        refused[outcome.row] = True
        outcome = _search_without(fleet, ask, refused, REASON[spare])
    refused[:] = True
    return _search_without(fleet, ask, refused, REASON[spare])


def _search_without(fleet: Fleet, ask: Ask, refused: Bools, why: str) -> Outcome:
    def also_refused(reasons: Reasons) -> tuple[Codes, Floats]:
        special, bonus = specials(fleet, ask, reasons)
        special[(special == FITS) & refused] = reasons.special(why)
        return special, bonus

    return flavours_of(fleet).search(ask, also_refused)


def search(fleet: Fleet, ask: Ask) -> Outcome:
    """The best row, and the rows by code."""
    if not is_special(ask):
        return flavours_of(fleet).search(ask)
    return flavours_of(fleet).search(ask, partial(specials, fleet, ask))


def _order(code: int) -> tuple[bool, bool, bool, int]:
    """Whether it takes VMs at all; which it is; what it is; what it has left."""
    return code != NOT_READY, code < SPECIALS, code < TEXTS, code


def why_not(decision: Decision, ask: Ask, names: Callable[[str], str]) -> Trouble:
    """A refusal in words. `names` turns ids into names."""
    reasons = "; ".join(f"{count} x {_named(reason, names)}" for reason, count in decision.out.items())
    nearest = (
        f" Nearest: {names(decision.nearest)} lacks {decision.lacks}."
        if decision.nearest and decision.lacks
        else ""
    )
    context: dict[str, str | int | float] = {
        "nodes": decision.nodes,
        "cpus": ask.cpus,
        "memory_bytes": ask.memory_bytes,
    }
    if decision.never:
        return Trouble(
            code=NeverFits.code,
            message=f"no node can ever take it: {_named(decision.never, names)}",
            hint=_hint(decision, names) or "Ask for less, or add a node that is large enough.",
            context=context,
        )
    return Trouble(
        code=NoRoom.code,
        message=f"none of {decision.nodes} nodes takes it: {reasons or 'there is no node'}.{nearest}",
        hint=_hint(decision, names)
        or "It is placed as soon as a node has room. Stop or delete VMs, uncordon or add a node.",
        context=context,
    )


def _hint(decision: Decision, names: Callable[[str], str]) -> str:
    if not decision.changes:
        return ""
    return f"It would fit {_named(decision.changes[0], names)}."


def _named(reason: str, names: Callable[[str], str]) -> str:
    return " ".join(names(word) for word in reason.split(" "))
