"""Tuning: better weights for a policy, searched by replaying a trace.

In this room   search(), by Optuna; Proposal
Comes in       a trace, a shape of nodes, the policy to begin with, the objective
Goes out       weights that are proposed: whoever likes them puts them into a SchedulingPolicy
Always true    nothing is changed. What is no better on the part that the search did not see is not proposed.
Next door      scheduler/replay.py
Start here     search()
"""

import time
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from corral.cli.parts.traces import BadTrace
from corral.errors import CorralError
from corral.model.policy import BUILT_IN, SchedulingPolicySpec, Weights
from corral.scheduler.replay import Figures, Shape, Trace, replay

if TYPE_CHECKING:
    import optuna

SEEN: Final = 2 / 3  # of the trace's time, on which weights are searched
RANGES: Final = {  # weight: least, most; searched on a logarithmic scale
    "cpu": (0.01, 10.0),
    "memory": (0.01, 10.0),
    "stranding": (0.1, 1000.0),
    "bonus": (0.01, 100.0),
}


class NoTuning(CorralError):
    """Weights can't be searched here."""

    code = "tuning.impossible"
    status = 400


class Proposal(Struct, frozen=True, kw_only=True):
    """What to try instead of a policy."""

    policy: str
    objective: str
    before: float  # on the part of the trace that the search did not see
    after: float
    better: bool
    weights: dict[str, float]  # those proposed; the policy's own where nothing better was found
    trials: int


def search(
    trace: Trace, shape: Shape, policy: str, objective: str, *, trials: int, moves: float = 0.0, seed: int = 1
) -> Proposal:
    """Raises NoTuning, BadTrace"""
    try:
        import optuna
    except ImportError:
        raise NoTuning(
            "tuning needs Optuna, which is not installed",
            hint="Install Corral with its extra: corral[tuning].",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seen, unseen = split(trace)
    spec = BUILT_IN[policy]

    def value(part: Trace, weights: Weights) -> float:
        policy_with = SchedulingPolicySpec(score=spec.score, weights=weights)
        result = replay(
            part, shape, policy_with, time.perf_counter_ns, moves_per_100_vm_hours=moves, batched=True
        )
        return _of(result.figures, objective)

    def trial_value(trial: "optuna.Trial") -> float:
        return value(seen, _weights(spec.weights, trial))

    study = optuna.create_study(
        direction="maximize" if objective == "density" else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    study.enqueue_trial(
        {n: float(np.clip(getattr(spec.weights, n), *bounds)) for n, bounds in RANGES.items()}
    )
    study.optimize(trial_value, n_trials=trials)
    best = _weights(spec.weights, study.best_trial)
    before, after = value(unseen, spec.weights), value(unseen, best)
    better = after > before if objective == "density" else after < before
    chosen = best if better else spec.weights
    return Proposal(
        policy=policy,
        objective=objective,
        before=before,
        after=after,
        better=better,
        weights={name: round(float(getattr(chosen, name)), 4) for name in Weights.__struct_fields__},
        trials=trials,
    )


def split(trace: Trace) -> tuple[Trace, Trace]:
    """The part to search on, and the later one to judge by. raises BadTrace: one of them has no VMs"""
    begin_s, end_s = trace.arrive_s[0], trace.arrive_s[-1]
    early = trace.arrive_s <= begin_s + SEEN * (end_s - begin_s)
    if early.all() or not early.any():
        raise BadTrace(
            "all VMs arrive at once: there is nothing to judge weights by", hint="Use a longer trace."
        )
    return _part(trace, early), _part(trace, ~early)


def _part(trace: Trace, which: np.ndarray) -> Trace:
    return Trace(trace.name, *(column[which] for column in trace[1:]))


def _weights(base: Weights, trial: "optuna.Trial | optuna.trial.FrozenTrial") -> Weights:
    fields = {name: getattr(base, name) for name in Weights.__struct_fields__}
    for name, (least, most) in RANGES.items():
        suggest = getattr(trial, "suggest_float", None)
        fields[name] = suggest(name, least, most, log=True) if suggest else trial.params[name]
    return Weights(**fields)


def _of(figures: Figures, objective: str) -> float:
    return figures.density if objective == "density" else float(figures.nodes)
