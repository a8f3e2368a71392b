"""Policies and groups on the command line: what they ask for."""

import pytest
import typer

from corral.cli.group import rule_of
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi
from tests.unit.client.samples import SUCCEEDED

RULES = [  # text, body
    ("anti-affinity", {"kind": "anti-affinity"}),
    ("anti-affinity,rack", {"kind": "anti-affinity", "domain": "rack"}),
    (
        "affinity,domain=zone,weight=2",
        {"kind": "affinity", "domain": "zone", "required": False, "weight": 2.0},
    ),
    ("affinity,nodes=disk=fast|node7", {"kind": "affinity", "nodes": ["disk=fast", "node7"]}),
]


@pytest.mark.parametrize(("text", "body"), RULES, ids=[r[0] for r in RULES])
def test_rules_as_people_write_them(text: str, body: dict[str, object]) -> None:
    assert rule_of(text) == body


def test_a_weight_that_is_none() -> None:
    with pytest.raises(typer.BadParameter):
        rule_of("affinity,weight=much")


def test_policy_create_asks_for_all_of_it(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/policies", SUCCEEDED)
    done = corral(
        "policy", "create", "default", "--score", "balance", "--weight", "memory=0.5", "--spare", "node"
    )
    assert done.code == 0, done.err
    spec = {"score": "balance", "weights": {"memory": 0.5}, "spare": "node"}
    assert api.seen[0].json == {"name": "default", "labels": {}, "spec": spec}


@pytest.mark.parametrize(
    ("said", "spec"),
    [
        ("on", {"automatic": True}),
        ("off", {"automatic": False}),
        ("consolidate", {"automatic": True, "goal": "consolidate"}),
    ],
)
def test_policy_create_turns_rebalancing_on(
    api: FakeApi, corral: Corral, said: str, spec: dict[str, object]
) -> None:
    api.on("POST", "/policies", SUCCEEDED)
    done = corral("policy", "create", "default", "--rebalance", said)
    assert done.code == 0, done.err
    assert api.seen[0].json["spec"] == {"rebalance": spec}
    assert corral("policy", "create", "default", "--rebalance", "maybe").code != 0


def test_group_create_asks_for_all_of_it(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/groups", SUCCEEDED)
    done = corral("group", "create", "db", "--rule", "anti-affinity", "--whole")
    assert done.code == 0, done.err
    spec = {"summary": "", "rules": [{"kind": "anti-affinity"}], "whole": True}
    assert api.seen[0].json == {"name": "db", "labels": {}, "spec": spec}
