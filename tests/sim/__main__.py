"""`make sim SEEDS=N`: many histories, or one again (`make sim SEED=7`); the last line is a JSON object."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.sim.history import Outcome, play


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim")
    parser.add_argument("--seeds", type=int, default=500, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play this one only, and tell its story")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    given = parser.parse_args()
    if given.seed is not None:
        outcome = play(given.seed)
        print("\n".join(outcome.story))
        return summary([outcome])
    begin = time.perf_counter()
    with ProcessPoolExecutor(given.workers) as pool:
        outcomes = list(
            told(pool.map(play, range(given.first, given.first + given.seeds), chunksize=4), given.seeds)
        )
    print(f"{given.seeds} histories in {time.perf_counter() - begin:.0f} s")
    return summary(outcomes)


def told(outcomes: Iterable[Outcome], count: int) -> Iterable[Outcome]:
    """Passes outcomes on; says how far it is, and the story of what went wrong."""
    for number, outcome in enumerate(outcomes, 1):
        if outcome.violations:
            print(f"seed {outcome.seed}: again with `make sim SEED={outcome.seed}`", *outcome.story, sep="\n")
            print(f"seed {outcome.seed} violated:", *outcome.violations, sep="\n  ")
        if number % 50 == 0:
            print(f"{number} of {count}", file=sys.stderr, flush=True)
        yield outcome


def summary(outcomes: list[Outcome]) -> int:
    struck: Counter[str] = sum((o.struck for o in outcomes), Counter())
    ended: Counter[str] = sum((o.ended for o in outcomes), Counter())
    violations = sum(len(o.violations) for o in outcomes)
    slowest = max(o.settled_s for o in outcomes)
    print(
        f"operations: {dict(sorted(ended.items()))}; at rest at most {slowest:.0f} virtual s after the last fault"
    )
    result = {
        "seeds": len(outcomes),
        "violations": violations,
        "virtual_hours": round(sum(o.virtual_s for o in outcomes) / 3600, 2),
        "faults": dict(sorted(struck.items())),
    }
    print(json.dumps(result))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
