"""Lab: real nodes on this machine, for the time of a bench."""

import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.serving import free_port
from corral.client import Client
from corral.lab import guest
from corral.lab.demo import import_image
from corral.lab.lab import Lab
from corral.lab.plan import LabPlan
from corral.model.operation import Operation


@contextlib.contextmanager
def a_lab(prefix: str, bridge: str, *, nodes: int = 1, image: bool = True) -> Iterator[Lab]:
    """A server and nodes. `image`: with the guest's image, as `guest`."""
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        folder = Path(name) / "lab"
        lab = Lab(LabPlan(dir=folder, nodes=nodes, prefix=prefix, bridge=bridge, port=free_port()))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a bench that is ended leaves nothing
        try:
            lab.claim()
            lab.up()
            if image:
                guest.build(lab.plan.guest_image)
                import_image(lab.client, lab.plan.guest_image)
            yield lab
        finally:
            lab.down()


def ask_for(client: Client, name: str, image: str) -> Operation:
    """A VM as small as the guest can be, with a seed."""
    return client.vms.create(
        name=name,
        memory="128MiB",
        disks=[{"image": image, "pool": "shared"}],
        nics=[{"network": "default"}],
        cloud_init={"user_data": "#cloud-config\n{}\n"},
    )


def remove(client: Client, name: str) -> None:
    client.operations.wait(client.vms.stop(name, force=True), timeout_s=60)
    client.operations.wait(client.vms.delete(name, purge=True), timeout_s=60)
