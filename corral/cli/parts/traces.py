"""Traces: files of VMs that came and went, as scheduler/replay.py plays them.

In this room   read_trace(); the formats, told apart by their columns: azure-vm-v1, alibaba-openb, huawei-topology
Comes in       the path of a CSV file, gzipped or not, or of a folder with one such file
Goes out       Trace, in the order of arrival
Always true    a file that can't be right is refused with its first bad line. The same seed gives the same trace.
Next door      scheduler/replay.py
Start here     read_trace()
"""

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from corral.errors import CorralError
from corral.scheduler.dimensions import MILLI
from corral.scheduler.replay import Trace

BIN_S: Final = 300.0  # azure-vm-v1 tells lifetimes in bins of this width
MIB_IN_GIB: Final = 1024.0
HINT: Final = "bench/README.md says which traces are read, and where they can be had."

AZURE: Final = frozenset(
    {"vm_id", "batch_id", "arrive_s", "vcpu", "mem_gib", "life_lo_s", "life_hi_s", "censored"}
)
OPENB: Final = frozenset({"name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"})
HUAWEI: Final = frozenset({"flavor_vcpus", "flavor_ram", "numa", "strategy", "group", "domain"})

Table = Mapping[str, Sequence[str]]


class BadTrace(CorralError):
    """A trace can't be read, or can't be right."""

    code = "trace.bad"
    status = 400


def read_trace(path: Path, seed: int = 1) -> Trace:
    """`seed` chooses where in its bin a lifetime lies that is only known to a bin. raises BadTrace"""
    file = _file(path)
    table = read_table(file)
    for columns, reader in FORMATS:
        if columns <= table.keys():
            if not table[next(iter(columns))]:
                raise BadTrace(f"{file} has no VMs", hint=HINT)
            trace = reader(table, _Numbers(file, table), seed)
            return _sorted(trace._replace(name=file.name))
    raise BadTrace(f"{file} has the columns of no known trace: {', '.join(table) or 'none'}", hint=HINT)


def read_table(file: Path) -> Table:
    """Columns by name. raises BadTrace: no such file, not CSV, lines of different lengths"""
    try:
        with _opened(file) as text:
            lines = csv.reader(text)
            header = next(lines, [])
            rows = list(lines)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadTrace(f"{file} can't be read: {error}", hint=HINT) from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BadTrace(f"{file}, line {number}: {len(row)} fields instead of {len(header)}", hint=HINT)
    return dict(zip(header, zip(*rows, strict=True) if rows else ((),) * len(header), strict=True))


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def _file(path: Path) -> Path:
    """The file itself, or the only trace in the folder."""
    if not path.is_dir():
        return path
    found = [file for file in sorted(path.glob("*.csv*")) if _is_trace(file)]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise BadTrace(f"{path} has not one trace: {names}", hint="Name the file.")
    return found[0]


def _is_trace(file: Path) -> bool:
    try:
        with _opened(file) as text:
            header = set(text.readline().strip().split(","))
    except (OSError, EOFError, UnicodeDecodeError):
        return False
    return any(columns <= header for columns, _ in FORMATS)


class _Numbers:
    """Columns as numbers, each within its bounds."""

    def __init__(self, file: Path, table: Table) -> None:
        self.file, self.table = file, table

    def __call__(self, column: str, least: float = 0.0, *, most: float = 1e12) -> np.ndarray:
        texts = self.table[column]
        try:
            numbers = np.array(texts, dtype=float)
        except ValueError:
            at = next(n for n, text in enumerate(texts) if not _is_number(text))
            raise self.bad(column, at) from None
        wrong = np.flatnonzero(~((numbers >= least) & (numbers <= most)))  # NaN is wrong too
        if len(wrong):
            raise self.bad(column, int(wrong[0]))
        return numbers

    def bad(self, column: str, at: int, why: str = "can't be") -> BadTrace:
        text = self.table[column][at]
        return BadTrace(f"{self.file}, line {at + 2}: {column} {text or '(empty)'} {why}", hint=HINT)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _azure(table: Table, numbers: _Numbers, seed: int) -> Trace:
    arrive_s, low_s, high_s = numbers("arrive_s"), numbers("life_lo_s"), numbers("life_hi_s")
    wrong = np.flatnonzero(high_s < low_s)
    if len(wrong):
        raise numbers.bad("life_hi_s", int(wrong[0]), "is below life_lo_s")
    end_s = arrive_s + np.random.default_rng(seed).uniform(low_s, high_s + BIN_S)
    end_s[numbers("censored", most=1) == 1] = np.inf
    return Trace(
        "",
        arrive_s,
        end_s,
        numbers("vcpu", 0.001),
        numbers("mem_gib", 0.001),
        np.zeros(len(arrive_s)),
        numbers("batch_id").astype(np.int64),
    )


def _openb(table: Table, numbers: _Numbers, seed: int) -> Trace:
    count = len(table["name"])
    arrive_s = numbers("creation_time") if "creation_time" in table else np.arange(count, dtype=float)
    end_s = np.full(count, np.inf)
    if "deletion_time" in table:
        end_s = _or_never(numbers, "deletion_time", arrive_s)
    gpus = numbers("num_gpu", most=64)
    return Trace(
        "",
        arrive_s,
        end_s,
        numbers("cpu_milli") / MILLI,
        numbers("memory_mib") / MIB_IN_GIB,
        np.where(gpus == 1, numbers("gpu_milli", most=MILLI), gpus * MILLI),
        np.arange(count),
    )


def _or_never(numbers: _Numbers, column: str, arrive_s: np.ndarray) -> np.ndarray:
    """Times; empty: it does not end."""
    texts = numbers.table[column]
    filled = _Numbers(numbers.file, {column: [text or "0" for text in texts]})
    end_s = filled(column)
    end_s[[not text for text in texts]] = np.inf
    never_before: np.ndarray = np.maximum(end_s, arrive_s)
    return never_before


def _huawei(table: Table, numbers: _Numbers, seed: int) -> Trace:
    count = len(table["numa"])
    return Trace(
        "",
        np.arange(count, dtype=float),
        np.full(count, np.inf),
        numbers("flavor_vcpus", 0.001),
        numbers("flavor_ram", 0.001),
        np.zeros(count),
        np.arange(count),
    )


FORMATS: Final[tuple[tuple[frozenset[str], Callable[[Table, _Numbers, int], Trace]], ...]] = (
    (AZURE, _azure),
    (OPENB, _openb),
    (HUAWEI, _huawei),
)


def _sorted(trace: Trace) -> Trace:
    order = np.argsort(trace.arrive_s, kind="stable")
    return Trace(trace.name, *(column[order] for column in _columns(trace)))


def _columns(trace: Trace) -> Iterator[np.ndarray]:
    yield from trace[1:]
