"""`corral explain`: an explanation in sentences."""

import json

from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi

TOLD = {
    "vm": {"kind": "VM", "id": "vm-1", "name": "web"},
    "phase": "running",
    "node": "n1",
    "elsewhere": {"best": "n2"},
    "waits_for": ["the guest has not let go of disk data yet"],
    "pending": ["8 vCPUs: the running machine takes 4 at most"],
}


def test_what_is_pending_says_when_it_comes(api: FakeApi, corral: Corral) -> None:
    api.on("GET", "/vms/web/explain", lambda _: (200, json.dumps(TOLD).encode()))
    assert corral("explain", "vm", "web").out.splitlines() == [
        "web is running on n1.",
        "Instead it could be on n2.",
        "Waits for: the guest has not let go of disk data yet",
        "Pending until its next start: 8 vCPUs: the running machine takes 4 at most",
    ]
