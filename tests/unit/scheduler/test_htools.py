"""Htools files: our score of a group is the figure that hbal prints, so that both are judged by one measure."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import htools
from bench.fleets import fleet
from corral.model.rebalance import Goal
from corral.scheduler.rebalance.arena import arena_of
from corral.scheduler.rebalance.plan import plan_moves
from corral.scheduler.rebalance.scores import total

TWO_NODES = """group-01|uuid-01|preferred||

node-0|91552|0|91040|3100|3100|32|M|uuid-01|1
node-1|91552|0|91040|3100|3100|32|N|uuid-01|1

inst-00|128|0|1|running|Y|node-0||ext||1
inst-01|128|0|1|running|Y|node-0||ext||1
inst-02|128|0|1|running|Y|node-0||ext|svc:a|1
inst-03|128|0|1|running|Y|node-0||ext|svc:a|1
inst-10|256|0|2|running|Y|node-1||ext||1
inst-11|256|0|2|running|Y|node-1||ext||1

"""
TAGGED = TWO_NODES + "htools:iextags:svc\n"
OFFLINE = TWO_NODES.replace("|32|N|", "|32|Y|")
PRINTED = [  # by hbal 3.0.2 -l 0
    ("VMs counted", TWO_NODES, 4.0),
    ("two VMs with one exclusion tag on a node", TAGGED, 6.0),
    ("two VMs on an offline node", OFFLINE, 40.0),
]


@pytest.mark.parametrize(("text", "score"), [pytest.param(*p[1:], id=p[0]) for p in PRINTED])
def test_score_is_what_hbal_printed(text: str, score: float, tmp_path: Path) -> None:
    (file := tmp_path / "fleet.data").write_text(text)
    assert total(arena_of(htools.problem_of(htools.read(file), "uuid-01"))) == pytest.approx(score, abs=1e-7)


def test_vms_with_a_second_node_are_refused(tmp_path: Path) -> None:
    (file := tmp_path / "fleet.data").write_text(TWO_NODES.replace("|node-0||ext", "|node-0|node-1|drbd"))
    with pytest.raises(ValueError, match="second node"):
        htools.problem_of(htools.read(file), "uuid-01")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    cluster, _ = fleet(2, 3, 5, seed=4)
    htools.write(cluster, tmp_path / "fleet.data")
    again = htools.read(tmp_path / "fleet.data")
    assert again.vms == cluster.vms and [n.name for n in again.nodes] == [n.name for n in cluster.nodes]


@pytest.mark.skipif(shutil.which("hbal") is None, reason="Debian's ganeti-htools is not installed")
def test_hbal_agrees_before_and_after(tmp_path: Path) -> None:
    """With measured loads; after our moves too."""
    cluster, loads = fleet(1, 6, 8, seed=5)
    file, load = tmp_path / "fleet.data", tmp_path / "loads"
    load.write_text("".join(f"{vm} {' '.join(map(str, of))}\n" for vm, of in loads.items()))
    problem = htools.problem_of(cluster, "uuid-0", loads=loads)
    plan = plan_moves(problem, Goal.BALANCE)
    assert plan.moves
    for moves, ours in ((0, plan.before), (len(plan.moves), plan.after)):
        for move in plan.moves[:moves]:
            cluster.vms[move.vm].node = cluster.nodes[move.target].name
        htools.write(cluster, file)
        command = ["hbal", "-t", str(file), "-U", str(load), "-l", "0"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.search(r"Initial score: ([\d.]+)", said)
        assert found and float(found[1]) == pytest.approx(ours, abs=1e-6), said
