"""Client: one server, all nouns.

In this room   Client
Comes in       URL, token and CA; or a context by its name
Goes out       client.vms, client.images, …; client.watch(); client.console()
Always true    for one thread at a time; a second thread takes a Client of its own
Next door      nouns.py has the methods; connection.py carries them
Start here     Client

    with Client("https://corral.example:8440", token) as client:
        operation = client.vms.create(name="web", memory="1GiB", disks=[{"image": "debian", "size": "8GiB"}])
        client.operations.wait(operation, timeout_s=120)
        print(client.vms.get("web").status.guest.addresses)
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from corral.client.connection import Connection, Request
from corral.client.consoles import Consoles
from corral.client.contexts import Contexts
from corral.client.findings import Finding, Findings
from corral.client.manifests import Manifests
from corral.client.nouns import (
    Events,
    FoundDomains,
    Groups,
    Images,
    Networks,
    Nodes,
    Noun,
    Operations,
    Policies,
    Pools,
    Ports,
    Profiles,
    Rebalances,
    Snapshots,
    Tokens,
    VMs,
    Volumes,
    decoded,
)
from corral.client.upload import Progress
from corral.client.watch import Change, watch, watch_all
from corral.errors import Invalid
from corral.model.operation import Operation
from corral.model.resource import Resource, kind_named

if TYPE_CHECKING:
    from corral.client.archives.contents import Manifest
    from corral.client.console import Console


class Client:
    """A Corral server, as a program sees it."""

    def __init__(
        self,
        url: str,
        token: str = "",
        ca: str | None = None,
        *,
        timeout_s: float = 60.0,
        retry_s: float = 20.0,
    ) -> None:
        self.connection = Connection(url, token, ca, timeout_s=timeout_s, retry_s=retry_s)
        self.nodes = Nodes(self.connection)
        self.vms = VMs(self.connection)
        self.found = FoundDomains(self.connection)
        self.volumes = Volumes(self.connection)
        self.snapshots = Snapshots(self.connection)
        self.images = Images(self.connection)
        self.pools = Pools(self.connection)
        self.networks = Networks(self.connection)
        self.profiles = Profiles(self.connection)
        self.policies = Policies(self.connection)
        self.groups = Groups(self.connection)
        self.rebalances = Rebalances(self.connection)
        self.ports = Ports(self.connection)
        self.operations = Operations(self.connection)
        self.events = Events(self.connection)
        self.tokens = Tokens(self.connection)
        self.manifests = Manifests(self.connection)
        self.consoles = Consoles(self.connection)

    @classmethod
    def of_context(cls, name: str = "") -> Self:
        """As the command line does it: a context of ~/.config/corral/config.json, or CORRAL_URL and CORRAL_TOKEN."""
        context = Contexts.load().chosen(name)
        return cls(context.url, context.token, context.ca or None)

    def watch(
        self, kind: str, since: int | None = None, **filters: str | Sequence[str]
    ) -> Iterator[Change[Resource]]:
        """Changes of one kind ("vm", "nodes", …) as they happen. raises Invalid: no such kind"""
        found = kind_named(kind)
        if found is None:
            raise Invalid("kind", kind, "a kind of resource", hint="Like vm, node or operation.")
        return watch(self.connection, found, since=since, query=filters)

    def console(self, vm: str, kind: str = "serial", *, replay: str = "") -> "Console":
        """A console of the VM, both ways: serial, vnc or spice. raises CorralError: refused, or out of reach"""
        from corral.client.console import Console

        return Console.open(self.connection, vm, kind, replay)

    def watch_all(
        self, *kinds: str, since: int | None = None, **filters: str | Sequence[str]
    ) -> Iterator[Change[Resource]]:
        """Changes of these kinds, or of all, as they happen."""
        return watch_all(self.connection, kinds, since=since, query=filters)

    def findings(self) -> tuple[Finding, ...]:
        """What needs attention, the worst first."""
        answer = self.connection.send(Request("GET", "/api/v1/findings", {}))
        return decoded(answer, Findings).items

    def noun(self, kind: str) -> Noun[Any]:
        """What can be done with a kind, by its name: "vm", "VMs". raises Invalid: no such kind"""
        found = kind_named(kind)
        noun = getattr(self, found.PLURAL, None) if found else None
        if not isinstance(noun, Noun):
            raise Invalid("kind", kind, "a kind of resource", hint="Like vm, network or volume.")
        return noun

    def export_vm(
        self, vm: str, path: str | Path, *, format: str = "native", progress: Progress | None = None
    ) -> "Manifest":
        """Write a whole VM into a new file: `native`, or `ova` for other platforms. It may run meanwhile."""
        from corral.client.archives.moving import export_vm

        return export_vm(self, vm, Path(path), format=format, progress=progress)

    def import_vm(self, path: str | Path, **how: Any) -> Operation:
        """Make a new VM of such a file: name, pool, network, running, progress."""
        from corral.client.archives.moving import import_vm

        return import_vm(self, Path(path), **how)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
