"""Run stages of tests, each to its end, and sum them up.

In this room   the stages of `make test` and their summary
Comes in       names of stages: check unit contract sim ui lab
Goes out       what the tests print, then a table; exit status 1 if anything failed
Always true    a stage that collects no test at all counts as failed: silence is no success
Next door      check.py, rules.py; tests/lab/conftest.py decides when a lab test may be skipped
Start here     main()
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
REPORTS = ROOT / ".cache" / "test"
WORKERS = {"unit": 2, "contract": 2, "sim": 2, "ui": 2}  # the lab measures time: one after the other


@dataclass
class Outcome:
    stage: str
    took_s: float = 0.0
    ok: bool = False
    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # by reason


def read_report(path: Path, outcome: Outcome) -> None:
    """Count what pytest wrote as JUnit XML."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        skip = case.find("skipped")
        if skip is not None:
            outcome.skipped[skip.get("message", "")] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        else:
            outcome.passed += 1


def run_check() -> Outcome:
    done = subprocess.run((sys.executable, "tools/check.py"), check=False)
    return Outcome("check", ok=done.returncode == 0)


def run_tests(stage: str, seeds: int) -> Outcome:
    """One folder of tests in a process of its own."""
    report = REPORTS / f"{stage}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"tests/{stage}", "-q", f"--junitxml={report}"]
    command += ["-n", str(WORKERS[stage])] if stage in WORKERS else []
    command += ["--durations=10"] if stage == "lab" else []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SEEDS": str(seeds)}
    done = subprocess.run(command, env=environment, check=False)
    outcome = Outcome(stage, ok=done.returncode == 0)
    if stage == "ui":  # its pure parts are tested where they are written
        outcome.ok &= subprocess.run((sys.executable, "tools/ui.py", "test"), check=False).returncode == 0
    if report.exists():
        read_report(report, outcome)
    return outcome


def summary(outcomes: list[Outcome]) -> str:
    lines = [f"{'stage':10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for o in outcomes:
        counts = (o.passed, o.failed, o.skipped.total())
        shown = ["", "", ""] if o.stage == "check" else [str(c) for c in counts]
        line = f"{o.stage:10}{shown[0]:>8}{shown[1]:>8}{shown[2]:>9}{o.took_s:>9.1f}"
        lines.append(line + ("" if o.ok else "   FAILED"))
        lines += [f"    skipped {count}: {reason}" for reason, count in sorted(o.skipped.items())]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stages", nargs="+", choices=("check", "unit", "contract", "sim", "ui", "lab"))
    parser.add_argument("--seeds", type=int, default=500)
    ask = parser.parse_args()
    os.chdir(ROOT)
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for stage in ask.stages:
        print(f"\n=== {stage}", flush=True)
        began_s = time.monotonic()
        outcome = run_check() if stage == "check" else run_tests(stage, ask.seeds)
        outcome.took_s = time.monotonic() - began_s
        outcomes.append(outcome)
    total_s = sum(o.took_s for o in outcomes)
    print(
        f"\n{summary(outcomes)}\n\n{'passed' if all(o.ok for o in outcomes) else 'FAILED'} in {total_s:.0f} s"
    )
    return 0 if all(o.ok for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
