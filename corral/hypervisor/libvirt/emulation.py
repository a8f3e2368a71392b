"""Emulation: whether QEMU's software emulation has room for another vCPU.

QEMU 7.2 cuts its cache of translated code into regions, gives each vCPU one, and a full vCPU another. A vCPU that is
plugged in when none is left ends QEMU, and the guest with it (assertion in tcg/region.c).

In this room   pure: what QEMU says of its cache in, a refusal out
Next door      updates.py asks before it plugs vCPUs into an emulated machine
"""

import re
from typing import Final

from corral.model.units import MiB

USED: Final = re.compile(r"gen code size\s+(\d+)/(\d+)")
REGIONS_A_VCPU: Final = 8
REGION_BYTES_MIN: Final = 2 * MiB


def full(said: str, *, cpus: int, more: int, cpus_max: int) -> str:
    """Why no vCPU can be plugged in now; empty: there is room. `said`: the monitor's answer to "info jit"."""
    found = USED.search(said)
    if found is None:
        return ""
    used, total = int(found[1]), int(found[2])
    count = max(1, min(cpus_max * REGIONS_A_VCPU, total // REGION_BYTES_MIN))
    taken = -(-used // (total // count)) + cpus  # the last region of each vCPU is not full
    if count - taken >= more:
        return ""
    return f"QEMU has {total // MiB} MiB for translated code, of which {used // MiB} MiB are in use: it would crash"
