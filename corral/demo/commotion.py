"""Commotion: VMs of a demo that are stopped and started all the time, for benches and for something to look at.

In this room   stir(), so many requests a second
Comes in       the server's services and mirror; a seed
Always true    the same seed asks for the same VMs in the same order; each is a request as a user makes it, followed by an
               operation. A VM that is still on its way is left alone.
Next door      program.py runs it
"""

import asyncio
import logging
from random import Random
from typing import Final

from corral.clock import Clock
from corral.errors import CorralError
from corral.model.vm import VM, VMPhase
from corral.server.core import ServerCore
from corral.server.services.asking import Asking

log = logging.getLogger("corral.demo")
SEED: Final = 7
ASKING: Final = Asking(by="demo")
WAITING_MAX: Final = 500  # requests that are not answered yet


async def stir(core: ServerCore, clock: Clock, per_second: float, seed: int = SEED) -> None:
    """Stop what runs and start what is stopped, until cancelled. Falls behind where the server can't keep up."""
    ids = [vm.id for vm in core.mirror.list(VM)]
    Random(seed).shuffle(ids)
    room = asyncio.Semaphore(WAITING_MAX)
    began_s, asked = clock.monotonic_s(), 0
    async with asyncio.TaskGroup() as group:
        while ids:
            for id in ids:
                await room.acquire()
                group.create_task(_turn(core, id, room), name="stir")
                asked += 1
                await clock.sleep(max(0.0, began_s + asked / per_second - clock.monotonic_s()))


async def _turn(core: ServerCore, id: str, room: asyncio.Semaphore) -> None:
    vm = core.mirror.get(id)
    try:
        if isinstance(vm, VM) and vm.status.phase is VMPhase.RUNNING:
            await core.services.vms.stop(id, ASKING)
        elif isinstance(vm, VM) and vm.status.phase is VMPhase.STOPPED:
            await core.services.vms.start(id, ASKING)
    except CorralError as error:  # somebody else was faster, or deleted it
        log.debug("not stirred: %s", error, extra={"vm": id})
    finally:
        room.release()
