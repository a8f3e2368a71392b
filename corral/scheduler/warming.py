"""Warming: the kernels compiled, or loaded from their cache, before somebody waits for them.

Next door      flavours.py calls this
Start here     compile_all()
"""

from types import ModuleType

import numpy as np

from corral.model.ids import VmId
from corral.scheduler.columns import Columns
from corral.scheduler.fleet import Fleet
from corral.scheduler.placement import Ask
from corral.scheduler.wishes import CODES, Reasons, wish_of


def compile_all(kernels: ModuleType) -> None:
    """Call each once, with arrays of the types that it gets later."""
    columns = Columns()
    columns.add_row()
    wish = wish_of(Fleet(), Ask(vm=VmId(""), cpus=1, memory_bytes=1), Reasons())
    no_log = np.zeros(0, dtype=np.int32)
    counts = np.zeros(CODES, dtype=np.int64)
    tree, points, codes = np.zeros(2, dtype=np.int32), np.zeros(2), np.zeros(2, dtype=np.uint8)
    kernels.scan(columns.nodes, wish, 1, no_log, counts)
    kernels.build(columns.nodes, wish, 1, no_log, tree, points, codes, counts)
    numbers = kernels.addresses_of(columns.nodes, wish, columns.log, tree, points, codes, counts)
    kernels.renew(numbers, 0, 1)
