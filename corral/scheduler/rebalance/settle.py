"""Settle: an order in which moves can be made, several at a time, with a third node as a stepping stone where needed.

In this room   settle(), compiled
Comes in       an arena with every VM at home, and where each is to be in the end
Goes out       moves in order, each with its wave: moves of one wave may run side by side, the next wave begins when
               they are done. What no order was found for stays at home.
Always true    a VM that moves holds its claim on both nodes until its wave is done, and no node is overfilled even then;
               required rules hold, and no more VMs are unabsorbed than allowed, after each single move in this order
Next door      search.py, polish.py and anneal.py say where VMs are to be
Start here     settle()
"""

import numpy as np

from corral.scheduler.rebalance.arena import Arena, put
from corral.scheduler.rebalance.compiled import compiled, written_out
from corral.scheduler.rebalance.problem import Bools, Floats, Ints
from corral.scheduler.rebalance.scores import SLACK, allowed
from corral.scheduler.rebalance.spares import unabsorbed


@compiled
def settle(
    arena: Arena, vms: Ints, targets: Ints, moves_max: int, parallel: int, per_node: int, spare: int
) -> tuple[Ints, Ints, Ints, Bools]:
    """Returns of each move: VM, node it goes to, wave, whether that node is only a stepping stone.

    vms        rows, in the order that is preferred
    targets    (vms,) where each of these is to be
    moves_max  with stepping stones
    parallel   moves at a time
    per_node   moves at a time that begin or end on one node
    spare      VMs that may be unabsorbed; -1: nobody asks
    """
    moved, to = np.empty(moves_max, dtype=np.int64), np.empty(moves_max, dtype=np.int64)
    wave = np.empty(moves_max, dtype=np.int64)
    stone = np.zeros(moves_max, dtype=np.bool_)
    left, stepped = np.ones(len(vms), dtype=np.bool_), np.zeros(len(vms), dtype=np.bool_)
    done, number = 0, 0
    while done < moves_max and left.any():
        began = done
        held, busy = np.zeros_like(arena.used), np.zeros(len(arena.first), dtype=np.int64)
        for i in range(len(vms)):
            if done == moves_max or done - began == parallel:
                break
            if left[i] and _begin(arena, vms[i], targets[i], held, busy, per_node, spare):
                moved[done], to[done], wave[done] = vms[i], targets[i], number
                done, left[i] = done + 1, False
        if done == began:
            i, node = _stone(arena, vms, targets, left, stepped, spare)
            if i < 0 or done + 2 > moves_max:
                break
            put(arena, vms[i], node)
            moved[done], to[done], wave[done], stone[done] = vms[i], node, number, True
            done, stepped[i] = done + 1, True
        number += 1
    return moved[:done], to[:done], wave[:done], stone[:done]


@written_out
def _begin(arena: Arena, vm: int, target: int, held: Floats, busy: Ints, per_node: int, spare: int) -> bool:
    """Make the move part of the wave, if it can be."""
    source = arena.node[vm]
    if busy[source] >= per_node or busy[target] >= per_node or not allowed(arena, vm, target):
        return False
    for d in range(held.shape[1]):
        wants = arena.used[target, d] + held[target, d] + arena.claims[vm, d]
        if wants > arena.capacity[target, d] * (1 + SLACK):
            return False
    put(arena, vm, target)
    if spare >= 0 and unabsorbed(arena, spare) > spare:
        put(arena, vm, source)
        return False
    held[source] += arena.claims[vm]
    busy[source] += 1
    busy[target] += 1
    return True


@written_out
def _stone(
    arena: Arena, vms: Ints, targets: Ints, left: Bools, stepped: Bools, spare: int
) -> tuple[int, int]:
    """A VM that waits, and a third node, from where it makes way for another one; (-1, -1): there is none."""
    for i in range(len(vms)):
        vm = vms[i]
        if not left[i] or stepped[i]:
            continue
        source = arena.node[vm]
        for node in range(len(arena.first)):
            if node == targets[i] or not allowed(arena, vm, node):
                continue
            put(arena, vm, node)
            if spare < 0 or unabsorbed(arena, spare) <= spare:
                for k in range(len(vms)):
                    if k != i and left[k] and targets[k] == source and allowed(arena, vms[k], source):
                        put(arena, vm, source)
                        return i, node
            put(arena, vm, source)
    return -1, -1
