"""Guests: ask each running guest whether it is up, often until it is, seldom afterwards.

Next door      vm_lane.py knows which VMs run and reports the answers
Start here     watch_guests()
"""

import asyncio
from contextlib import suppress
from typing import Final

from corral.agent.looking import within
from corral.agent.vm_lane import Lane, VmLanes
from corral.clock import Clock, spread_s
from corral.errors import CorralError
from corral.hypervisor.interface import Hypervisor
from corral.model.ids import VmId
from corral.model.vm import DomainState

BOOTING_S: Final = 1.0  # between questions to a guest that boots
BOOT_S_MAX: Final = 180.0  # a guest that was silent for so long probably has no agent
SILENT_S: Final = 10.0  # between questions to it
UP_S: Final = (
    300.0  # between questions to a guest that is up; half of it is left to chance. Events tell the rest
)
ANSWER_S: Final = 5.0


async def watch_guests(lanes: VmLanes, hypervisor: Hypervisor, clock: Clock) -> None:
    """Ask the guests that are due, without end."""
    while True:
        lanes.runs.clear()
        now_s = clock.monotonic_s()
        due = [(key, lane) for key, lane in lanes.lanes.items() if _runs(lane) and lane.guest_due_s <= now_s]
        await asyncio.gather(*(_ask(key, lane, lanes, hypervisor, clock) for key, lane in due))
        next_s = min((lane.guest_due_s for lane in lanes.lanes.values() if _runs(lane)), default=None)
        wait_s = None if next_s is None else max(0.5, next_s - clock.monotonic_s())
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await lanes.runs.wait()


def _runs(lane: Lane) -> bool:
    return lane.vm is not None and lane.domain is not None and lane.domain.state is DomainState.RUNNING


async def _ask(key: str, lane: Lane, lanes: VmLanes, hypervisor: Hypervisor, clock: Clock) -> None:
    try:
        guest = await within(ANSWER_S, "asking the guest", hypervisor.guest(VmId(key)))
    except CorralError:
        guest = None  # that says nothing about the guest
    now_s = clock.monotonic_s()
    if guest and guest.up and (guest.addresses or lane.vm is None or not lane.vm.nics):
        # Not before it has an address: DHCP answers later than its agent. Not all guests at once, on any node.
        lane.guest_due_s = now_s + spread_s(UP_S, clock)
    else:
        lane.guest_due_s = now_s + (BOOTING_S if now_s - lane.ran_since_s < BOOT_S_MAX else SILENT_S)
    if guest and lanes.lanes.get(key) is lane:
        lanes.tell_guest(key, guest)
