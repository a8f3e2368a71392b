import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from corral.cli.main import main
from corral.cli.parts.traces import BadTrace, read_trace
from corral.cli.parts.tuning import search, split
from corral.scheduler.replay import Shape

AZURE = "vm_id,batch_id,arrive_s,vcpu,mem_gib,life_lo_s,life_hi_s,censored\n"
OPENB = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
HUAWEI = "flavor_vcpus,flavor_ram,numa,strategy,group,domain\n"


def a_file(folder: Path, text: str, name: str = "trace.csv") -> Path:
    file = folder / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


def azure(count: int = 60) -> str:
    chance = np.random.default_rng(1)
    rows = []
    for vm in range(count):
        life = 300 * int(chance.integers(0, 30))
        rows.append(
            f"{vm},{vm // 3},{300 * (vm // 4)},{chance.choice([1, 2, 4])},{3.5},{life},{life},{int(vm % 9 == 0)}"
        )
    return AZURE + "\n".join(rows) + "\n"


def test_azure_lifetimes_lie_in_their_bins_and_the_rest_never_ends(tmp_path: Path) -> None:
    trace = read_trace(a_file(tmp_path, AZURE + "1,7,600,2,3.5,300,900,0\n0,6,300,4,7.0,0,0,1\n", "t.csv.gz"))
    assert trace.arrive_s.tolist() == [300, 600]
    assert trace.end_s[0] == np.inf
    assert 900 <= trace.end_s[1] < 600 + 1200
    assert (trace.cpus.tolist(), trace.memory_gib.tolist(), trace.batch.tolist()) == (
        [4, 2],
        [7, 3.5],
        [6, 7],
    )


def test_the_seed_says_where_a_lifetime_lies(tmp_path: Path) -> None:
    file = a_file(tmp_path, azure())
    assert np.array_equal(read_trace(file, 3).end_s, read_trace(file, 3).end_s)
    assert not np.array_equal(read_trace(file, 3).end_s, read_trace(file, 4).end_s)


def test_openb(tmp_path: Path) -> None:
    text = (
        OPENB
        + "a,12000,16384,1,460,,LS,Running,5,90,5\nb,2000,2048,2,1000,,LS,Running,7,,7\nc,1000,1024,0,0,,LS,Running,9,20,9\n"
    )
    trace = read_trace(a_file(tmp_path, text))
    assert trace.gpu_milli.tolist() == [460, 2000, 0]
    assert trace.end_s.tolist() == [90, np.inf, 20]
    assert trace.memory_gib.tolist() == [16, 2, 1]


def test_huawei(tmp_path: Path) -> None:
    trace = read_trace(a_file(tmp_path, HUAWEI + "8,16,1,fault_domain,0.0,1.0\n32,64,2,,,\n"))
    assert (trace.cpus.tolist(), trace.memory_gib.tolist()) == ([8, 32], [16, 64])


def test_the_only_trace_in_a_folder(tmp_path: Path) -> None:
    a_file(tmp_path, "vcpu,mem_gib\n1,2\n", "flavours.csv")
    a_file(tmp_path, azure(), "dev.csv.gz")
    assert read_trace(tmp_path).name == "dev.csv.gz"


BAD = [  # name, text, what the message says
    ("other columns", "a,b\n1,2\n", "columns of no known trace: a, b"),
    ("nothing", "", "columns of no known trace: none"),
    ("no VMs", AZURE, "has no VMs"),
    ("a short line", AZURE + "0,0,0,1,1,0,0,0\n1,1\n", "line 3: 2 fields instead of 8"),
    ("no number", AZURE + "0,0,0,one,1,0,0,0\n", "line 2: vcpu one"),
    ("not a number", AZURE + "0,0,0,1,nan,0,0,0\n", "line 2: mem_gib nan"),
    ("empty", AZURE + "0,0,0,1,,0,0,0\n", r"line 2: mem_gib \(empty\)"),
    ("below zero", AZURE + "0,0,0,1,1,0,0,0\n1,1,-300,1,1,0,0,0\n", "line 3: arrive_s -300"),
    ("of no size", AZURE + "0,0,0,0,1,0,0,0\n", "line 2: vcpu 0"),
    ("absurd", AZURE + "0,0,0,1e300,1,0,0,0\n", "line 2: vcpu 1e300"),
    ("ends before it begins", AZURE + "0,0,0,1,1,900,300,0\n", "line 2: life_hi_s 300 is below life_lo_s"),
]


@pytest.mark.parametrize(("text", "message"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadTrace, match=message) as refused:
        read_trace(a_file(tmp_path, text))
    assert refused.value.hint


def test_no_file_and_no_gzip(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="can't be read"):
        read_trace(tmp_path / "none.csv")
    (tmp_path / "t.csv.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(BadTrace, match="can't be read"):
        read_trace(tmp_path / "t.csv.gz")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout, stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["scheduler", *words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


Run = Callable[..., tuple[int, str, str]]


def test_replay_prints_exactly_these_figures(tmp_path: Path, run: Run) -> None:
    file = str(a_file(tmp_path, azure()))
    code, out, _ = run("replay", file, "--node", "8x16", "--policy", "best-fit", "-o", "json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == [
        "policy", "nodes", "placed", "refused", "density", "peak_utilisation", "migrations", "decisions_per_s", "p99_us",
    ]  # fmt: skip
    assert (found["policy"], found["placed"], found["refused"]) == ("best-fit", 60, 0)
    few = json.loads(run("replay", file, "--node", "8x16", "--nodes", "1", "-o", "json")[1])
    assert few["nodes"] == 1
    assert few["refused"] > 0


@pytest.mark.parametrize(
    "words",
    [("--node", "64"), ("--node", "0x4"), ("--node", "axb"), ("--nodes", "0"), ("--nodes", "many"), ("--policy", "x"),
     ("--migrations-per-100-vm-hours", "-1"), ("--plot", "picture.txt"), ("--plot", "/nowhere/at/all.png")],
    ids=" ".join,
)  # fmt: skip
def test_wrong_words_are_refused(tmp_path: Path, run: Run, words: tuple[str, str]) -> None:
    code, out, said = run("replay", str(a_file(tmp_path, azure())), *words)
    assert (code, out) == (2, "")
    assert "hint:" in said


def test_a_picture(tmp_path: Path, run: Run) -> None:
    file = str(a_file(tmp_path, azure()))
    assert run("replay", file, "--node", "8x16", "--nodes", "2", "--plot", str(tmp_path / "p.png"))[0] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_extra_it_says_what_is_missing(tmp_path: Path) -> None:
    file = str(a_file(tmp_path, azure()))
    script = """
import sys
sys.modules["matplotlib"] = sys.modules["optuna"] = None
from corral.cli.main import main
main(["scheduler", *sys.argv[1:]])
"""
    for words in (["replay", file, "--plot", str(tmp_path / "p.png")], ["tune", file]):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "not installed" in done.stderr
        assert "corral[tuning]" in done.stderr


def test_tuning_proposes_and_tells_by_what_it_did_not_see(tmp_path: Path) -> None:
    trace = read_trace(a_file(tmp_path, azure(120)))
    found = search(trace, Shape(8, 16), "balance", "density", trials=3)
    assert found.weights.keys() >= {"cpu", "memory", "stranding", "bonus"}
    assert found.better == (found.after > found.before)
    seen, unseen = split(trace)
    assert seen.arrive_s.max() < unseen.arrive_s.min()
    assert len(seen.cpus) + len(unseen.cpus) == 120


def test_there_is_nothing_to_tune_by_when_all_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="at once"):
        split(read_trace(a_file(tmp_path, AZURE + "0,0,0,1,1,0,0,0\n1,1,0,1,1,0,0,0\n")))
