"""The demo, as a newcomer runs it: twice, then stopped; nothing is left."""

import json
import os
import subprocess
import sys
from pathlib import Path

from corral.lab.plan import LabPlan
from tests.lab.places import a_plan
from tests.lab.test_lab_machines import leftovers

KEYS = {
    "nodes",
    "vm",
    "create_to_running_s",
    "create_to_guest_up_s",
    "migration_s",
    "downtime_ms",
    "url",
    "open",
}


def demo(plan: LabPlan, *flags: str) -> list[str]:
    """Run it and return the lines that it printed."""
    where = (
        "--dir",
        str(plan.dir),
        "--bridge",
        plan.bridge,
        "--prefix",
        plan.prefix,
        "--port",
        str(plan.port),
    )
    env = os.environ | {"CORRAL_CONFIG": str(plan.dir.parent / "config.json")}
    done = subprocess.run(
        [sys.executable, "-m", "corral.lab.demo", *where, "--nodes", "2", *flags],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_demo_twice_then_nothing(tmp_path: Path) -> None:
    plan = a_plan(tmp_path / "lab", nodes=2)
    try:
        for _ in range(2):
            figures = json.loads(demo(plan)[-1])
            assert figures.keys() == KEYS
            assert figures["nodes"] == 2 and figures["url"] == plan.url
            assert 0 < figures["create_to_running_s"] < figures["create_to_guest_up_s"]
            assert 0 < figures["downtime_ms"] < figures["migration_s"] * 1000
        assert "lab" in json.loads((tmp_path / "config.json").read_text())["contexts"]
    finally:
        demo(plan, "--stop")
    assert leftovers(plan) == []
    assert not (tmp_path / "config.json").exists()
    assert demo(plan, "--stop") == ["There is no demo to stop."]
