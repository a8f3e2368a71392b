"""Whether software emulation has room for another vCPU."""

import pytest

from corral.hypervisor.libvirt.emulation import full

ROWS = [  # name, MiB used, MiB in all, vCPUs now, more, at most; refused
    ("fresh", 10, 128, 1, 3, 4, False),
    ("booted", 66, 128, 1, 2, 4, False),
    ("nearly full", 118, 128, 1, 2, 4, True),
    ("a small cache after a boot", 30, 32, 1, 1, 4, True),
    ("a small cache at the start", 4, 32, 1, 2, 4, False),
    ("more vCPUs than regions", 1, 32, 1, 16, 17, True),
]


@pytest.mark.parametrize(
    ("used", "total", "cpus", "more", "most", "refused"), [pytest.param(*r[1:], id=r[0]) for r in ROWS]
)
def test_full(used: int, total: int, cpus: int, more: int, most: int, refused: bool) -> None:
    said = f"Translation buffer state:\ngen code size       {used << 20}/{total << 20}\r\nTB count 1"
    assert bool(full(said, cpus=cpus, more=more, cpus_max=most)) is refused


def test_an_answer_that_says_nothing_is_no_refusal() -> None:
    assert full("unknown command: info jit", cpus=1, more=1, cpus_max=2) == ""
