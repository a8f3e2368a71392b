"""Stock: units of devices as columns, counted by class, node and NUMA cell.

In this room   Stock: arrays that grow by doubling; one row of them is renewed when devices of its node change
Comes in       the units of a node, and what VMs there hold
Goes out       for what is asked: how many each node has, and has free, in all and by cell
Always true    free is what units and holdings of the node say, whatever came before (tests compare it with a rebuild).
               What is held in part is not free as a whole, nor are slices of what is held as a whole.
Next door      fleet.py tells it of changes; special.py asks; devices.py chooses
Start here     Stock.set_row()

Memory: 4 bytes a class of devices, node and NUMA cell, three times.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corral.model.hardware import DeviceKind, HostDevice
from corral.scheduler.units import Class, Unit, fits

Counts = NDArray[np.int32]
UNTOLD: Final = 0  # place of units of which nobody says in which cell they are; cell c has place c + 1


class Stock:
    """All nodes; rows as in Columns."""

    def __init__(self) -> None:
        self.classes: list[Class] = []
        self.number: dict[Class, int] = {}
        self.there: Counts = np.zeros(
            (0, 8, 2), dtype=np.int32
        )  # (classes, rows, cells + 1), kept ones aside
        self.free: Counts = np.zeros((0, 8, 2), dtype=np.int32)  # the same
        self.kept: Counts = np.zeros((0, 8, 2), dtype=np.int32)  # that nobody gets
        self.changes = 0

    def set_row(self, row: int, units: Sequence[Unit], held: Mapping[str, int]) -> None:
        """Costs the units of one node."""
        if not units and not (self.there + self.kept)[:, row : row + 1].any():
            return
        for unit in units:
            if unit.of not in self.number:
                self.number[unit.of] = len(self.classes)
                self.classes.append(unit.of)
        self._have(row, max((place_of(unit) for unit in units), default=0))
        self.there[:, row] = self.free[:, row] = self.kept[:, row] = 0
        for unit, left in zip(units, free_of(units, held), strict=True):
            at = self.number[unit.of], row, place_of(unit)
            (self.kept if unit.kept else self.there)[at] += unit.slices
            self.free[at] += left
        self.changes += 1

    def _have(self, row: int, place: int) -> None:
        """Make room."""
        classes, rows, places = self.there.shape
        shape = (
            len(self.classes) if len(self.classes) > classes else classes,
            rows if row < rows else max(2 * rows, row + 1),
            max(places, place + 1),
        )
        if shape == self.there.shape:
            return
        for name in ("there", "free", "kept"):
            new = np.zeros(shape, dtype=np.int32)
            new[:classes, :rows, :places] = getattr(self, name)
            setattr(self, name, new)

    def fitting(self, asked: HostDevice, links: Mapping[str, str]) -> list[int]:
        """Numbers of classes that will do."""
        return [n for n, of in enumerate(self.classes) if fits(of, asked, links)]

    def by_place(self, counts: Counts, classes: Sequence[int], size: int) -> Counts:
        """Of `there` or `free`, the classes together. (size, cells + 1)"""
        rows = min(size, counts.shape[1])
        found = np.zeros((size, counts.shape[2]), dtype=np.int32)
        found[:rows] = counts[list(classes), :rows].sum(axis=0, dtype=np.int32)
        return found

    def gpus_free(self, size: int) -> Counts:
        """Whole ones. (size,)"""
        gpus = [n for n, of in enumerate(self.classes) if of.kind == DeviceKind.GPU]
        total: Counts = self.by_place(self.free, gpus, size).sum(axis=1, dtype=np.int32)
        return total


def place_of(unit: Unit) -> int:
    return UNTOLD if unit.cell is None else unit.cell + 1


def free_of(units: Sequence[Unit], held: Mapping[str, int]) -> list[int]:
    """How many of each unit can be given: 0 or 1, or slices. held: VMs by HeldDevice.key"""
    if not held:
        return [_left(unit, 0, 0, 0) for unit in units]
    cards = Cards(units, held)
    return [
        _left(unit, held.get(unit.parts[0].key, 0), cards.of_others(unit), cards.of_type(unit))
        if not cards.blocks(unit)
        else 0
        for unit in units
    ]


def _left(unit: Unit, held: int, others: int, of_type: int) -> int:
    """others: slices of other types on its card that the host has not told of yet. of_type: on its card, of its type."""
    if unit.kept or others:
        return 0
    most = unit.most - of_type if unit.most else unit.slices
    return max(0, min(unit.slices - held, most))


class Cards:
    """What VMs hold of a node's physical devices."""

    def __init__(self, units: Sequence[Unit], held: Mapping[str, int]) -> None:
        self.held = held
        self.parts: set[str] = set()  # cards of which a virtual function or a slice is held
        self.made: dict[tuple[str, str], int] = {}  # slices by card and type, which the host has told of
        self.taken: dict[tuple[str, str], int] = {}  # that VMs hold
        for unit in units:
            key, slice = unit.parts[0].key, (unit.card, unit.of.id)
            if unit.of.kind == DeviceKind.MDEV:
                self.made[slice] = self.made.get(slice, 0) + unit.made
                self.taken[slice] = self.taken.get(slice, 0) + held.get(key, 0)
            if held.get(key, 0) > 0 and unit.of.kind in (DeviceKind.MDEV, DeviceKind.VF):
                self.parts.add(unit.card)

    def blocks(self, unit: Unit) -> bool:
        """Whether something else that is held is in its way."""
        if unit.of.kind == DeviceKind.MDEV:
            whole = (f"{DeviceKind.PCI}:{unit.parts[0].parent}", f"{DeviceKind.PCI}:{unit.card}")
            return any(self.held.get(key, 0) > 0 for key in whole)
        if unit.of.kind == DeviceKind.VF:
            card = f"{DeviceKind.PCI}:{unit.card}"
            return any(self.held.get(key, 0) > 0 for key in (card, *(part.key for part in unit.parts)))
        return unit.card in self.parts or any(self.held.get(part.key, 0) > 0 for part in unit.parts)

    def of_others(self, unit: Unit) -> int:
        """A slice that is held and not there yet: nobody knows what its card is good for once it is."""
        if unit.of.kind != DeviceKind.MDEV:
            return 0
        return sum(
            max(0, taken - self.made.get(slice, 0))
            for slice, taken in self.taken.items()
            if slice[0] == unit.card and slice[1] != unit.of.id
        )

    def of_type(self, unit: Unit) -> int:
        return self.taken.get((unit.card, unit.of.id), 0)
