"""Devices by class: what a node hands out, to whom, and what is left; columns against a look at each node."""

import random
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from corral.hypervisor.simulated.devices import a_gpu, a_nic, its_sound
from corral.model.hardware import DeviceKind, HeldDevice, HostDevice
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, MdevType, Node, NodePhase, NodeSpec, NodeStatus, NumaCell, PciDevice
from corral.model.units import GiB
from corral.scheduler import flavours
from corral.scheduler.batches import claim_for, devices_for, place_all
from corral.scheduler.devices import pick
from corral.scheduler.fleet import Fleet
from corral.scheduler.fragments import _cost
from corral.scheduler.gpus import Tasks, cpus_per_milli
from corral.scheduler.judging import judge
from corral.scheduler.placement import Ask, place, why_not
from corral.scheduler.special import specials
from corral.scheduler.stock import Stock
from corral.scheduler.units import Class, fits, units_of
from corral.scheduler.useless import STARVED, SURPLUS, GpuKind, cost
from corral.scheduler.wishes import CODES, FITS, Reasons, wish_of

LINKS = {"net-1": "ens3f0"}


def gpu(count: int = 1, model: str = "") -> HostDevice:
    return HostDevice(kind=DeviceKind.GPU, model=model, count=count)


def vf(count: int = 1, network: str = "") -> HostDevice:
    return HostDevice(kind=DeviceKind.VF, network=network, count=count)


def slice(type: str = "nvidia-474", count: int = 1) -> HostDevice:
    return HostDevice(kind=DeviceKind.MDEV, id=type, count=count)


def drive(driver: str = "vfio-pci", **more: Any) -> PciDevice:
    plain = {"address": "0000:41:00.0", "vendor": "0x144d", "device": "0xa808", "pci_class": "0x010802",
             "iommu_group": 41, "model": "NVMe SSD Controller SM981", "driver": driver}  # fmt: skip
    return PciDevice(**{**plain, **more})


def with_(one: PciDevice, /, **changes: Any) -> PciDevice:
    return msgspec.structs.replace(one, **changes)


def an_inventory(*devices: PciDevice, cells: int = 2) -> Inventory:
    numa = tuple(
        NumaCell(id=c, cpus=tuple(range(16 * c, 16 * c + 16)), memory_bytes=64 * GiB) for c in range(cells)
    )
    gpus = tuple(d for d in devices if d.pci_class.startswith("0x03"))
    return Inventory(cpus=16 * cells, memory_bytes=64 * GiB * cells, cells=numa, devices=devices, gpus=gpus)


def a_node(name: str, *devices: PciDevice, dedicated: str = "") -> Node:
    return Node(
        id=name,
        name=name,
        spec=NodeSpec(reserve_memory_bytes=0, cpu_overcommit=1.0, dedicated_cpus=dedicated),
        status=NodeStatus(phase=NodePhase.READY, inventory=an_inventory(*devices)),
    )


def a_fleet(*nodes: Node) -> Fleet:
    fleet = Fleet()
    for node in nodes:
        fleet.see_node(node)
    return fleet


def an_ask(*devices: HostDevice, **fields: Any) -> Ask:
    plain = {"vm": VmId("vm"), "cpus": 1, "memory_bytes": GiB, "policy": "balance", "links": LINKS}
    return Ask(**{**plain, "devices": devices, **fields})


def give(fleet: Fleet, vm: str, *devices: HostDevice, **fields: Any) -> tuple[str, ...]:
    """Place it, and keep that: what it got."""
    ask = an_ask(*devices, vm=VmId(vm), **fields)
    node = place(fleet, ask).node
    assert node
    claim = claim_for(fleet, ask, node)
    fleet.claim(ask.vm, (claim,))
    return claim.devices


# ---- what is handed out as one

A100 = a_gpu(0x3B, 0)
NIC = a_nic(0x17, 0, 2)
UNITS = [  # name, devices, kind, parts and why nobody gets it: of each unit
    ("a GPU", [A100], [("gpu", 1, "")]),
    ("with its sound", [A100, its_sound(A100)], [("gpu", 2, "")]),
    ("and with another function of its kind", [A100, with_(its_sound(A100), pci_class="0x038000")], [("gpu", 2, "")]),
    ("not alone in its group", [A100, drive(iommu_group=0x3B)],
     [("gpu", 2, "shares its IOMMU group with 0000:41:00.0"), ("nvme", 2, "shares its IOMMU group with 0000:3b:00.0")]),
    ("a bridge in the group is part of the path", [A100, drive(iommu_group=0x3B, pci_class="0x060400")], [("gpu", 1, "")]),
    ("a GPU that the host draws on", [with_(A100, driver="nouveau")], [("gpu", 1, "is the host's: bound to driver nouveau")]),
    ("the host's console", [with_(A100, driver="", busy="its console")], [("gpu", 1, "is the host's: its console")]),
    ("without IOMMU", [with_(A100, iommu_group=None)], []),
    ("a drive of the host's", [drive("nvme")], [("nvme", 1, "is the host's: bound to driver nvme")]),
    ("a drive set aside", [drive()], [("nvme", 1, "")]),
    ("a NIC is no class, its virtual functions are", list(NIC), [("vf", 1, ""), ("vf", 1, "")]),
    ("a virtual function that the host uses", [NIC[0], with_(NIC[1], busy="link ens3f0v0 is up")],
     [("vf", 1, "is the host's: link ens3f0v0 is up")]),
    ("a GPU that is cut up", [a_gpu(0x3B, 0, slices=4)],
     [("mdev", 1, ""), ("mdev", 1, ""), ("gpu", 1, "is the host's: bound to driver nvidia")]),
    ("a GPU that is split up", [with_(A100, virtual_functions=16)], [("gpu", 1, "is split into virtual functions")]),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "units"), [pytest.param(*r[1:], id=r[0]) for r in UNITS])
def test_units(devices: list[PciDevice], units: list[tuple[str, int, str]]) -> None:
    found = [(str(u.of.kind), len(u.parts), u.kept) for u in units_of(an_inventory(*devices))]
    assert found == units


FITTING = [  # name, model of the unit, model asked for, whether it fits
    ("any", "GH100 [H100 PCIe]", "", True),
    ("a word of its name, in any case", "GH100 [H100 PCIe]", "h100", True),
    ("several words", "GH100 [H100 PCIe]", "H100 PCIe", True),
    ("not a part of a word", "AD102GL [L40S]", "L4", False),
    ("vendor and device", "GH100 [H100 PCIe]", "10de:2331", True),
    ("another device", "GH100 [H100 PCIe]", "10de:20f1", False),
]


@pytest.mark.parametrize(("name", "asked", "fit"), [pytest.param(*r[1:], id=r[0]) for r in FITTING])
def test_a_model_is_asked_for_by_words(name: str, asked: str, fit: bool) -> None:
    assert fits(Class(DeviceKind.GPU, "10de:2331", name), gpu(model=asked), {}) is fit


def test_a_virtual_function_is_of_a_nic_on_the_network() -> None:
    of = Class(DeviceKind.VF, "15b3:101e", "", ("ens3f0", "bond0", "br0"))
    assert fits(of, vf(network="net-1"), {"net-1": "br0"}) and fits(of, vf(), {})
    assert not fits(of, vf(network="net-1"), {"net-1": "br1"})
    assert not fits(of, vf(network="net-1"), {}), "a network that is on no link of hosts"


# ---- who gets what

CUT = a_gpu(0x3B, 0, slices=2)
OTHER = a_gpu(0xAF, 1)
HELD = [  # name, devices, held, asked, what it gets or why not
    ("the whole group", [A100, its_sound(A100)], {}, [gpu()], ["pci:0000:3b:00.0", "pci:0000:3b:00.1"]),
    ("the other one", [A100, OTHER], {"pci:0000:3b:00.0": 1}, [gpu()], ["pci:0000:af:00.0"]),
    ("none is left", [A100], {"pci:0000:3b:00.0": 1}, [gpu()], "no free GPU"),
    ("its sound is held", [A100, its_sound(A100)], {"pci:0000:3b:00.1": 1}, [gpu()], "no free GPU"),
    ("fewer than asked for", [A100], {}, [gpu(2)], "fewer than 2 free: GPU"),
    ("a certain model first", [A100, with_(OTHER, model="GH100 [H100 PCIe]")], {}, [gpu(), gpu(model="A100")],
     ["pci:0000:3b:00.0", "pci:0000:af:00.0"]),
    ("virtual functions", list(NIC), {}, [vf(2)], ["pci:0000:17:00.1", "pci:0000:17:00.2"]),
    ("their NIC is held as a whole", list(NIC), {"pci:0000:17:00.0": 1}, [vf()], "no free virtual function"),
    ("the NIC whose function is held", list(NIC), {"pci:0000:17:00.1": 1},
     [HostDevice(kind=DeviceKind.PCI, id="0000:17:00.0")], "PCI device 0000:17:00.0 is in use there"),
    ("a slice", [CUT], {}, [slice()], ["mdev:0000:3b:00.0:nvidia-474"]),
    ("the last slice", [CUT], {"mdev:0000:3b:00.0:nvidia-474": 1}, [slice()], ["mdev:0000:3b:00.0:nvidia-474"]),
    ("no slice is left", [CUT], {"mdev:0000:3b:00.0:nvidia-474": 2}, [slice()], "no free slice of type nvidia-474"),
    ("slices of another type, not made yet", [CUT], {"mdev:0000:3b:00.0:nvidia-474": 1}, [slice("nvidia-476")],
     "no free slice of type nvidia-476"),
    ("two types of one card", [CUT], {}, [slice(), slice("nvidia-476")], "no free slice of type nvidia-476"),
    ("slices of a GPU that is held as a whole", [CUT], {"pci:0000:3b:00.0": 1}, [slice()], "no free slice of type nvidia-474"),
    ("the GPU of which a slice is held", [CUT], {"mdev:0000:3b:00.0:nvidia-474": 1},
     [HostDevice(kind=DeviceKind.PCI, id="0000:3b:00.0")], "PCI device 0000:3b:00.0 is in use there"),
    ("two of a kind by vendor and device", [drive(), drive(address="0000:42:00.0", iommu_group=42)], {},
     [HostDevice(kind=DeviceKind.PCI, id="144d:a808", count=2)], ["pci:0000:41:00.0", "pci:0000:42:00.0"]),
    ("all from one cell", [A100, OTHER, *a_nic(0xB0, 1, 1)], {}, [gpu(), vf()], ["pci:0000:af:00.0", "pci:0000:b0:00.1"]),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "held", "asked", "gets"), [pytest.param(*r[1:], id=r[0]) for r in HELD])
def test_pick(
    devices: list[PciDevice], held: dict[str, int], asked: list[HostDevice], gets: list[str] | str
) -> None:
    inventory = an_inventory(*devices)
    found, why = pick(inventory, held, asked, links=LINKS)
    assert why == (gets if isinstance(gets, str) else "")
    assert sorted(d.key for d in found) == ([] if isinstance(gets, str) else sorted(gets))


def test_slices_that_the_host_has_told_of_leave_room_for_others_as_the_host_says() -> None:
    """An A100 with MIG has slices of several sizes beside each other; how many, it tells when one is made."""
    types = (
        MdevType(type="nvidia-474", instances=6, made=1),
        MdevType(type="nvidia-476", instances=2),
    )
    inventory = an_inventory(with_(CUT, slices=types))
    held = {"mdev:0000:3b:00.0:nvidia-474": 1}
    assert pick(inventory, held, [slice("nvidia-476", 2)])[1] == ""
    assert pick(inventory, {"mdev:0000:3b:00.0:nvidia-474": 2}, [slice("nvidia-476")])[1]


def test_a_card_gives_no_more_than_it_says_over_all_its_virtual_functions() -> None:
    """Each of 16 virtual functions could carry a slice; the card has memory for two."""
    one = (MdevType(type="nvidia-699", instances=1, most=2),)
    card = with_(A100, driver="nvidia", virtual_functions=4)
    functions = [
        with_(card, address=f"0000:3b:00.{n}", physical_function=card.address, virtual_functions=0, slices=one, iommu_group=200 + n)
        for n in range(4, 8)
    ]  # fmt: skip
    fleet = a_fleet(a_node("a", card, *functions))
    got = give(fleet, "x", slice("nvidia-699")) + give(fleet, "y", slice("nvidia-699"))
    assert len(set(got)) == 2
    refused = place(fleet, an_ask(slice("nvidia-699")))
    assert refused.node is None and refused.out == {"no free slice of type nvidia-699": 1}
    assert fleet.columns.claimed[0, 4] == 1000.0, "two halves of one GPU"


# ---- which node


def test_refusals_count_nodes_by_reason() -> None:
    fleet = a_fleet(
        a_node("none"),
        a_node("host", with_(A100, driver="amdgpu")),
        a_node("full", A100),
        a_node("other", with_(A100, model="AD104GL [L4]", device="0x27b8")),
    )
    fleet.claim(VmId("x"), (claim_for(fleet, an_ask(gpu(model="A100")), NodeId("full")),))
    ask = an_ask(gpu(model="A100"))
    decision = place(fleet, ask)
    assert decision.node is None and decision.out == {
        "it has no GPU of model A100": 2,
        "the host uses it, or it shares its IOMMU group: GPU of model A100": 1,
        "no free GPU of model A100": 1,
    }
    assert decision.changes[0] == "if VM x were gone from full"
    assert "no free GPU of model A100" in why_not(decision, ask, str).message


def test_more_devices_than_any_node_has_can_never_be() -> None:
    fleet = a_fleet(a_node("a", *a_nic(0x17, 0, 2)), a_node("b"))
    words = "it asks for 3 x virtual function; no node has more than 2 to give"
    assert place(fleet, an_ask(vf(3))).never == words
    assert "no node has more than 0" in place(fleet, an_ask(gpu(model="H100"))).never
    assert not place(a_fleet(a_node("a", CUT)), an_ask(slice(count=3))).never, "the host may tell of more"
    assert place(fleet, an_ask(vf(2))).node == "a"


def test_devices_near_the_cpus_that_are_its_own() -> None:
    """A node with GPU and free CPUs in one cell before one where they are apart, and there the cell of the GPU."""
    apart = a_node("apart", a_gpu(0x3B, 0), dedicated="16-31")
    near = a_node("near", a_gpu(0x3B, 1), dedicated="0-31")
    fleet = a_fleet(apart, near)
    ask = an_ask(gpu(), cpus=4, dedicated=True, policy="spread")
    assert place(fleet, ask).node == "near"
    claim = claim_for(fleet, ask, NodeId("near"))
    assert [share.cell for share in claim.cells] == [1]


def test_devices_of_one_cell_before_those_of_two() -> None:
    fleet = a_fleet(
        a_node("two", a_gpu(0x3B, 0), a_gpu(0xAF, 1)), a_node("one", a_gpu(0x3B, 1), a_gpu(0xAF, 1))
    )
    for policy in ("balance", "pack", "spread", "power"):
        assert place(fleet, an_ask(gpu(2), policy=policy)).node == "one"


def test_a_small_ask_leaves_whole_nodes_to_large_ones() -> None:
    """VMs with four GPUs come often: a single GPU is taken where a node is broken already."""
    four = [a_gpu(0x30 + n, 0) for n in range(4)]
    fleet = a_fleet(*(a_node(name, *four) for name in "abc"))
    give(fleet, "big", gpu(4))
    first = give(fleet, "one", gpu())
    broken = next(c[0].node for v, c in fleet.claims.items() if v == "one")
    for n in range(3):
        give(fleet, f"more{n}", gpu())
    assert {c[0].node for v, c in fleet.claims.items() if v != "big"} == {broken} and first
    assert place(fleet, an_ask(gpu(4))).node


def test_a_batch_shares_devices_out() -> None:
    fleet = a_fleet(a_node("a", A100, OTHER), a_node("b", A100))
    asks = [an_ask(gpu(), vm=VmId(f"v{n}")) for n in range(4)]
    placed = [decision.node for decision in place_all(fleet, asks)]
    assert Counter(placed) == {"a": 2, "b": 1, None: 1}
    assert not fleet.claims and fleet.stock.gpus_free(2).tolist() == [2, 1], "the fleet is left as it was"


# ---- whatever happens


def some_devices(dice: random.Random) -> tuple[PciDevice, ...]:
    """Up to four cards, whole, cut up or the host's; often a NIC with virtual functions; sometimes drives."""
    found: list[PciDevice] = []
    for bus in range(dice.randint(0, 4)):
        sort, cell = dice.choice(("gpu", "sound", "cut", "cut", "host")), dice.randint(0, 1)
        card = a_gpu(bus + 1, cell, slices=dice.randint(1, 4) if sort == "cut" else 0)
        card = with_(card, driver="nouveau") if sort == "host" else card
        found += [card, its_sound(card)] if sort == "sound" else [card]
    if dice.random() < 0.7:
        found += a_nic(0x50, dice.randint(0, 1), dice.randint(0, 3), dice.choice(("ens3f0", "eth9")))
    if dice.random() < 0.5:
        found.append(drive(dice.choice(("vfio-pci", "nvme")), numa_cell=1))
    return tuple(found)


def some_ask(dice: random.Random) -> list[HostDevice]:
    return [
        dice.choice(
            (
                gpu(dice.choice((1, 1, 2)), dice.choice(("", "A100", "A100", "H100"))),
                vf(dice.choice((1, 1, 2)), dice.choice(("", "net-1"))),
                slice(dice.choice(("nvidia-474", "nvidia-474", "nvidia-476")), dice.choice((1, 1, 2))),
                HostDevice(kind=DeviceKind.NVME),
                HostDevice(
                    kind=DeviceKind.PCI, id=dice.choice(("10de:20f1", "0000:50:00.0", "0000:01:00.0"))
                ),
            )
        )
        for _ in range(dice.choice((1, 1, 1, 2, 3)))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_no_device_is_given_twice_and_columns_are_what_a_look_says(seed: int) -> None:
    """Nodes come and change, hosts tell of slices that were made, VMs come and go: at each step what VMs get is there
    and free, the columns are those of a fleet that is made anew, and the decision says of each node what a look says.
    """
    dice, fleet, nodes, placed = random.Random(seed), Fleet(), dict[str, Node](), 0
    flavours.warm()
    for _ in range(60):
        who = VmId(f"vm{dice.randint(0, 11)}")
        match dice.choice(("node", "told", "gone", "ask", "ask", "ask")):
            case "node" if len(nodes) < 3 or dice.random() < 0.2:
                name = dice.choice("abc")
                nodes[name] = a_node(name, *some_devices(dice))
                for vm in [v for v, c in fleet.claims.items() if c[0].node == name]:
                    fleet.forget_vm(vm)  # its devices may be others now
                fleet.see_node(nodes[name])
            case "told" if nodes:
                name = dice.choice(sorted(nodes))
                nodes[name] = told(nodes[name], fleet.held(NodeId(name)))
                fleet.see_node(nodes[name])
            case "gone":
                fleet.forget_vm(who)
            case _:
                fleet.forget_vm(who)
                placed += _place(fleet, an_ask(*some_ask(dice), vm=who))
        _as_made_anew(fleet, nodes)
    assert placed


def told(node: Node, held: dict[str, int]) -> Node:
    """As its agent tells of it once guests with slices have started: a card with slices of one type has none of others."""
    devices = []
    for device in node.status.inventory.devices:
        made = {each.type: held.get(f"mdev:{device.address}:{each.type}", 0) for each in device.slices}
        whole = {"nvidia-474": max((s.instances for s in device.slices), default=0)}
        devices.append(
            with_(
                device,
                slices=tuple(
                    MdevType(
                        type=each.type,
                        made=made[each.type],
                        instances=0
                        if any(n for type, n in made.items() if type != each.type)
                        else max(1, whole["nvidia-474"] // (1 if each.type == "nvidia-474" else 2)),
                    )
                    for each in device.slices
                ),
            )
        )
    inventory = msgspec.structs.replace(node.status.inventory, devices=tuple(devices))
    return node.having(status=msgspec.structs.replace(node.status, inventory=inventory))


def _place(fleet: Fleet, ask: Ask) -> bool:
    reasons = Reasons()
    special, bonus = specials(fleet, ask, reasons)
    wish = wish_of(fleet, ask, reasons)._replace(special=special, bonus=bonus)
    codes, points = judge(fleet.columns.nodes, wish, fleet.size)
    for row, id in enumerate(fleet.ids):
        _, why = pick(fleet.inventories[id], fleet.held(id), ask.devices, links=LINKS)
        assert (codes[row] == FITS) <= (not why), "it fits only where a look finds them"
        if why:
            assert special[row] != FITS
    counts = np.zeros(CODES, dtype=np.int64)
    row, score = flavours.warm().scan(fleet.columns.nodes, wish, fleet.size, flavours.NO_LOG, counts)
    assert (counts == np.bincount(codes, minlength=CODES)).all()
    decision = place(fleet, ask)
    assert decision.node == (fleet.ids[row] if row >= 0 else None)
    if not decision.node:
        return False
    assert score == points[row] == decision.score
    got = devices_for(fleet, ask, decision.node, frozenset())
    before = fleet.held(decision.node)
    _is_right(fleet.inventories[decision.node], before, got, ask.devices)
    fleet.claim(ask.vm, (claim_for(fleet, ask, decision.node),))
    return True


def _is_right(
    inventory: Inventory, before: dict[str, int], got: tuple[HeldDevice, ...], asked: tuple[HostDevice, ...]
) -> None:
    """Written without any of the scheduler's code: nothing is given twice, nor beside what it was cut from."""
    by_address = {d.address: d for d in inventory.devices}
    whole = {k.removeprefix("pci:") for k in before if k.startswith("pci:")}
    slices = Counter({k: n for k, n in before.items() if k.startswith("mdev:")})
    for device in got:
        if device.kind == DeviceKind.MDEV:
            parent = by_address[device.parent]
            slices[device.key] += 1
            could_be = next(s.instances for s in parent.slices if s.type == device.id)
            assert slices[device.key] <= could_be and parent.address not in whole
        else:
            own = by_address[device.id]
            assert device.id not in whole and own.physical_function not in whole
            assert not any(by_address[w].physical_function == device.id for w in whole if w in by_address)
            assert not any(n and key.startswith(f"mdev:{device.id}:") for key, n in slices.items())
            whole.add(device.id)
    cut = {key.rpartition(":")[0] for key, n in slices.items() if n}
    fresh = [key for key, n in slices.items() if n > before.get(key, 0)]
    assert all(
        sum(k.startswith(card) for k in slices if slices[k]) == 1
        for card in cut
        for k in fresh
        if k.startswith(card)
    )
    for address in (d.id for d in got if d.kind != DeviceKind.MDEV):
        group = [d for d in inventory.devices if d.iommu_group == by_address[address].iommu_group]
        assert {d.address for d in group} <= whole, "all of the group, or nothing"
    assert len(got) >= sum(device.count for device in asked)


def _as_made_anew(fleet: Fleet, nodes: dict[str, Node]) -> None:
    fresh = Fleet()
    for id in fleet.ids:
        fresh.see_node(nodes[id])
    for vm, claims in fleet.claims.items():
        fresh.claim(vm, claims)
    assert fresh.gpu_kinds == fleet.gpu_kinds
    for name in ("there", "free", "kept"):
        assert _by_class(fleet.stock, name, fleet.size) == _by_class(fresh.stock, name, fleet.size), name
    assert (fleet.columns.claimed[: fleet.size] == fresh.columns.claimed[: fleet.size]).all()


def _by_class(stock: Stock, name: str, size: int) -> dict[Any, int]:
    counts = getattr(stock, name)
    return {
        (of, row, place): int(counts[n, row, place])
        for n, of in enumerate(stock.classes)
        for row in range(min(size, counts.shape[1]))
        for place in range(counts.shape[2])
        if counts[n, row, place]
    }


# ---- what a placement makes useless


@pytest.mark.parametrize("seed", range(20))
def test_the_same_costs_as_of_shares(seed: int) -> None:
    """For whole GPUs, what the compiled search for shares counts (fragments.py) is counted here for all nodes at once."""
    dice = np.random.default_rng(seed)
    kinds = sorted(
        {
            GpuKind(float(dice.integers(1, 16)), float(dice.integers(1, 64)), int(dice.integers(1, 5)))
            for _ in range(4)
        }
    )
    shares = dice.dirichlet(np.ones(len(kinds)))
    tasks = Tasks(
        *(np.array(column, dtype=float) for column in zip(*((k.cpus, k.memory) for k in kinds), strict=True)),
        gpus=np.array([k.gpus for k in kinds], dtype=np.int64),
        milli=np.full(len(kinds), 1000.0),
        models=np.zeros(len(kinds), dtype=np.int64),
        popularity=shares,
    )  # fmt: skip
    needs = np.column_stack([tasks.cpus, tasks.memory, tasks.gpus, tasks.milli])
    nodes = 12
    cpus, memory = dice.integers(16, 64, nodes).astype(float), dice.integers(64, 256, nodes).astype(float)
    count = dice.integers(5, 9, nodes)
    free = np.where(np.arange(16) < count[:, None], 1000.0, 0.0)
    for at, kind in enumerate(kinds):
        one_by_one = [
            _cost(at, n, needs, shares, tasks.models, np.zeros(nodes, dtype=np.int64), cpus, memory, free, count,
                  np.arange(1001.0), cpus_per_milli(tasks), 64.0, STARVED, SURPLUS, 0.0)[0]
            for n in range(nodes)
        ]  # fmt: skip
        at_once = cost(cpus, memory, count.astype(float), kind, list(zip(kinds, shares, strict=True)))
        assert at_once == pytest.approx(one_by_one, abs=1e-6)
