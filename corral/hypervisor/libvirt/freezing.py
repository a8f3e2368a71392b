"""Freezing: the guest's file systems at rest for a moment, so that what is on the disks is whole. Blocking.

Always true    whatever happens in between, the guest is thawed at the end, and after FROZEN_S_MAX at the latest, from a
               thread of its own; an agent that was killed in between thaws when it looks at the snapshot again
Start here     frozen()
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import libvirt

FREEZE_S_MAX: Final = 5  # for the guest to come to rest; then it is done without
FROZEN_S_MAX: Final = 10.0
THAWS_MAX: Final = 3


@contextmanager
def frozen(domain: libvirt.virDomain, wanted: bool) -> Iterator[bool]:
    """Whether it worked: a guest without an agent, or a busy one, is not waited for."""
    rested = wanted and _freeze(domain)
    timer = threading.Timer(FROZEN_S_MAX, thaw, (domain,))
    timer.daemon = True
    if rested:
        timer.start()
    try:
        yield rested
    finally:
        timer.cancel()
        if rested:
            thaw(domain)


def _freeze(domain: libvirt.virDomain) -> bool:
    try:
        domain.agentSetResponseTimeout(FREEZE_S_MAX)
        domain.fsFreeze()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_AGENT_UNRESPONSIVE or "not connected" not in str(error):
            thaw(domain)  # it may have frozen all the same
        return False
    return True


def thaw(domain: libvirt.virDomain) -> None:
    """No error when it is not frozen, or has no agent."""
    for _ in range(THAWS_MAX):
        with suppress(libvirt.libvirtError):
            domain.agentSetResponseTimeout(FREEZE_S_MAX)
            domain.fsThaw()
            return
