"""Run all checks, one line each; what a failing one says is shown whole."""

import os
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PLACES = ("corral", "tests", "bench", "tools")
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", ("ruff", "format", "--check", "--quiet", *PLACES)),
    ("lint", ("ruff", "check", "--quiet", *PLACES)),
    ("layers", ("lint-imports",)),
    ("rules", ("python", "tools/rules.py")),
    ("types", ("mypy", "--no-error-summary")),
    ("console", ("python", "tools/ui.py", "check")),
)


def passes(name: str, command: tuple[str, ...]) -> bool:
    """Run one check and print how it went."""
    began_s = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        (str(BIN / command[0]), *command[1:]), capture_output=True, text=True, env=environment, check=False
    )
    took_s = time.monotonic() - began_s
    print(f"{name:8} {'ok' if done.returncode == 0 else 'FAILED':7} {took_s:5.1f} s", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0


def main() -> int:
    os.chdir(Path(__file__).parent.parent)
    results = [passes(name, command) for name, command in CHECKS]  # all of them, also after a failure
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
