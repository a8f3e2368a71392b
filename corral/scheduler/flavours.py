"""Flavours: decisions remembered, so that the next VM of the same kind costs a few rows and not all.

In this room   Outcome, what a search came to; Flavours, the searches of one fleet, by NumPy or by kernels; warm()
Comes in       a fleet, an Ask, what is special about single rows
Goes out       the best row, its score, the number of rows by code
Always true    all ways give the same outcome. The memory of all trees together stays below TREES_BYTES.
Next door      kernels.py is compiled; it is loaded when a fleet has MANY nodes or somebody calls warm()
Start here     Flavours.search()
"""

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.columns import LOG, Columns
from corral.scheduler.judging import judge
from corral.scheduler.wishes import (
    ABSENT,
    CODES,
    FITS,
    NOWHERE,
    Codes,
    Reasons,
    Wish,
    grown,
    wish_of,
)

if TYPE_CHECKING:
    from corral.scheduler.dimensions import Floats
    from corral.scheduler.fleet import Fleet
    from corral.scheduler.placement import Ask

SOURCES: Final = ("kernels", "addresses", "judging", "wishes", "columns", "dimensions")
MANY: Final = 256  # nodes from which on the kernels are worth 120 MB of memory, most of which Numba is
TREES_BYTES: Final = 64 << 20
LEAF_BYTES: Final = 8 + 4 + 1  # points, tree, code
KNOWN_MAX: Final = 4096  # flavours whose wish is kept
NEVER: Final = -LOG - 1  # further behind than any log reaches
NO_LOG: Final = np.zeros(0, dtype=np.int32)
_kernels: ModuleType | None = None
_warming: threading.Thread | None = None


def warm() -> ModuleType:
    """Load the kernels now. Takes half a second, and some more when they have never been compiled on this machine."""
    global _kernels
    if _kernels is None:
        _keep_compiled()
        from corral.scheduler import kernels, warming

        warming.compile_all(kernels)
        _kernels = kernels
    return _kernels


def _keep_compiled() -> None:
    """Where Numba keeps what it compiled: by the content of all sources that go into it, which it does not look at."""
    here = Path(__file__).parent
    content = b"".join((here / f"{name}.py").read_bytes() for name in SOURCES)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "corral" / f"kernels-{blake2b(content, digest_size=8).hexdigest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="corral-kernels-"))  # compiled anew with each start
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


def warm_aside(fleet: "Fleet") -> None:
    """Load the kernels in a thread, if the fleet is large enough for them; until they are there, NumPy decides.

    A second of a busy interpreter, so better when the nodes come than when the first VM waits.
    """
    global _warming
    if _kernels is None and _warming is None and fleet.size >= MANY:
        _warming = threading.Thread(target=warm, name="corral-kernels", daemon=True)
        _warming.start()


class Outcome(NamedTuple):
    """What a search came to."""

    row: int  # -1: none fits
    score: float
    counts: NDArray[np.int64]  # (CODES,) rows by code
    reasons: Reasons


class Flavour:
    """A wish that comes again and again, and what each row is to it."""

    def __init__(self, wish: Wish, reasons: Reasons) -> None:
        self.wish, self.reasons = wish, reasons
        self.counts = np.zeros(CODES, dtype=np.int64)
        self.uses = 0
        self.kinds, self.kinds_seen = (0, 0, 0, 0), -1
        self.points: Floats | None = None  # (leaves,); None: no tree yet
        self.tree: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self.codes: Codes = NOWHERE
        self.seen = NEVER  # Columns.changes when the tree was brought up to date
        self.behind_most = 0  # changes; with more, it is built anew
        self.arrays: tuple[int, int] | None = None  # Columns.size and epoch that `addresses` are for
        self.addresses: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def follow(self, fleet: "Fleet", ask: "Ask") -> None:
        """Know the kinds and pools that the fleet knows."""
        if self.kinds_seen == fleet.kinds_seen:
            return
        self.kinds_seen = fleet.kinds_seen
        kinds = (len(fleet.hardware.sets), len(fleet.networks.sets), len(fleet.sites.sets), len(fleet.pools))
        if kinds != self.kinds:
            moved = kinds[3] != self.kinds[3]
            self.wish, self.kinds = grown(fleet, ask, self.wish, self.reasons), kinds
            self.points = None if moved and len(self.wish.pools) else self.points
            self.arrays = None

    def drop_tree(self) -> None:
        self.points, self.tree, self.codes, self.uses = None, np.zeros(0, dtype=np.int32), NOWHERE, 0
        self.arrays, self.addresses = None, np.zeros(0, dtype=np.int64)

    def best(self, fleet: "Fleet", kernels: ModuleType) -> tuple[int, float]:
        """By the tree, which is brought up to date."""
        columns = fleet.columns
        if self.arrays != (columns.size, columns.epoch):
            self._lay_out(columns, kernels)
        if columns.changes - self.seen <= self.behind_most:
            row, score = kernels.renew(self.addresses, self.seen, columns.changes)
        else:
            tree, points, codes, counts = self.tree, self.points, self.codes, self.counts
            row, score = kernels.build(
                columns.nodes, self.wish, columns.size, NO_LOG, tree, points, codes, counts
            )
        self.seen = columns.changes
        return (row, score) if score > -np.inf else (-1, score)

    def _lay_out(self, columns: Columns, kernels: ModuleType) -> None:
        """Have a tree as large as the fleet, and know where all arrays are."""
        leaves = 2 if columns.size <= 2 else 1 << (columns.size - 1).bit_length()
        if self.points is None or len(self.points) != leaves:
            self.points, self.tree = np.empty(leaves), np.zeros(leaves, dtype=np.int32)
            self.codes, self.seen = np.full(leaves, ABSENT, dtype=np.uint8), NEVER
        self.behind_most = min(LOG, max(64, columns.size // 2))
        self.addresses = kernels.addresses_of(
            columns.nodes, self.wish, columns.log, self.tree, self.points, self.codes, self.counts
        )
        self.arrays = columns.size, columns.epoch


def flavours_of(fleet: "Fleet") -> "Flavours":
    """Those of the fleet, made when somebody asks first."""
    if fleet.flavours is None:
        fleet.flavours = Flavours(fleet)
    return fleet.flavours


Specials = Callable[
    [Reasons], tuple[Codes, "Floats"]
]  # Wish.special and Wish.bonus, with words for the codes


class Flavours:
    """The searches of one fleet."""

    def __init__(self, fleet: "Fleet") -> None:
        self.fleet = fleet
        self.known: OrderedDict[Hashable, Flavour] = OrderedDict()  # the one used last is last
        self.trees: list[Flavour] = []  # that have a tree

    def search(self, ask: "Ask", specials: "Specials | None" = None) -> Outcome:
        """The best row for the ask. Of an ask with something special about rows, the outcome is not remembered."""
        fleet = self.fleet
        warm_aside(fleet)
        key = ask.flavour
        flavour = self._flavour(key, ask)
        if specials:
            reasons = Reasons(flavour.reasons)
            special, bonus = specials(reasons)
            return _search_all(fleet, flavour.wish._replace(special=special, bonus=bonus), reasons)
        if _kernels is None or flavour.uses < 2:
            return _search_all(fleet, flavour.wish, flavour.reasons)
        if flavour.points is None:
            self._make_room(flavour)
        row, score = flavour.best(fleet, _kernels)
        return Outcome(row, score, flavour.counts, flavour.reasons)

    def scores(self, ask: "Ask") -> "tuple[Wish, Floats] | None":
        """Its wish, and the score of each row (-inf: it does not fit), not to be kept; None: no tree has them.

        ask  nothing is special about rows to it
        """
        flavour = self.known.get(ask.flavour)
        if _kernels is None or flavour is None or flavour.points is None:
            return None
        flavour.follow(self.fleet, ask)
        if flavour.points is None:
            return None  # the pools have moved
        flavour.best(self.fleet, _kernels)
        return flavour.wish, flavour.points[: self.fleet.columns.size]

    def _flavour(self, key: Hashable, ask: "Ask") -> Flavour:
        flavour = self.known.get(key)
        if flavour is None:
            reasons = Reasons()
            flavour = self.known[key] = Flavour(wish_of(self.fleet, ask, reasons), reasons)
            if len(self.known) > KNOWN_MAX:
                _, gone = self.known.popitem(last=False)
                if gone in self.trees:
                    self.trees.remove(gone)
        else:
            self.known.move_to_end(key)
        flavour.follow(self.fleet, ask)
        flavour.uses += 1
        return flavour

    def _make_room(self, new: Flavour) -> None:
        """Let the trees go that were used longest ago, when there would be too many."""
        most = max(4, TREES_BYTES // (LEAF_BYTES * 2 * max(1, self.fleet.size)))
        while len(self.trees) >= most:
            oldest = min(self.trees, key=lambda flavour: flavour.seen)
            oldest.drop_tree()
            self.trees.remove(oldest)
        if new not in self.trees:
            self.trees.append(new)


def _search_all(fleet: "Fleet", wish: Wish, reasons: Reasons) -> Outcome:
    """Look at every row."""
    columns = fleet.columns
    if _kernels is not None:
        counts = np.zeros(CODES, dtype=np.int64)
        row, score = _kernels.scan(columns.nodes, wish, columns.size, NO_LOG, counts)
        return Outcome(row, score, counts, reasons)
    codes, scores = judge(columns.nodes, wish, columns.size)
    counts = np.bincount(codes, minlength=CODES)
    if not counts[FITS]:
        return Outcome(-1, -np.inf, counts, reasons)
    row = int(np.argmax(scores))
    return Outcome(row, float(scores[row]), counts, reasons)
