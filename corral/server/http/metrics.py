"""Metrics: figures for Prometheus.

In this room   Metrics: counters of the API itself, and a look at the mirror and the hub when asked
Comes in       requests as they end (edge.py); mirror, hub
Goes out       text in Prometheus' format, in pieces
Always true    what is as large as the fleet (facts of nodes and VMs) is written piece by piece, so that a scrape
               of 30,000 VMs does not hold up a request
Next door      routes/metrics.py answers with it
Start here     Metrics.text()
source         prometheus.io/docs/instrumenting/exposition_formats
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import Histogram
from prometheus_client.registry import Collector

from corral.model.console import ConsoleKind
from corral.model.ids import NodeId, VmId
from corral.model.link import NODE_COLUMNS, VM_COLUMNS
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.resource import KINDS
from corral.model.vm import VM
from corral.server.http.ports import ApiCore

if TYPE_CHECKING:
    from corral.server.http.watching import Watches

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
AT_ONCE: Final = 500  # resources between two pauses
Look = Callable[[str], Mapping[str, float] | None]
Row = tuple[str, str, Mapping[str, float]]  # id, name, figures by column
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What can be measured of this server."""

    def __init__(self, core: ApiCore, watches: "Watches") -> None:
        self.core = core
        self.registry = CollectorRegistry()
        self.requests = Count(
            "corral_http_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "corral_http_request_seconds",
            "Time to answer a request, without streams and consoles",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Fleet(core, watches))

    def note(self, method: str, route: str, status: int, seconds: float, *, stream: bool) -> None:
        """A request has been answered."""
        self.requests.labels(method, route, str(status)).inc()
        if not stream:
            self.seconds.labels(method, route).observe(seconds)

    async def text(self) -> AsyncGenerator[bytes, None]:
        """Everything there is to know, in pieces."""
        yield generate_latest(self.registry)
        mirror, hub = self.core.mirror, self.core.hub
        nodes = [(n.id, n.name) for n in mirror.list(Node)]
        async for piece in self._facts("node", NODE_COLUMNS, nodes, lambda id: hub.facts_of(NodeId(id))):
            yield piece
        vms = [(vm.id, vm.name) for vm in mirror.list(VM)]
        async for piece in self._facts("vm", VM_COLUMNS, vms, lambda id: hub.vm_facts(VmId(id))):
            yield piece

    async def _facts(
        self, noun: str, columns: Iterable[str], things: list[tuple[str, str]], look: Look
    ) -> AsyncGenerator[bytes, None]:
        """One gauge a column; lines of one gauge stand together, as the format wants it."""
        rows: list[Row] = []
        for first in range(0, len(things), AT_ONCE):
            for id, name in things[first : first + AT_ONCE]:
                if (figures := look(id)) is not None:
                    rows.append((id, name, figures))
            await self.core.clock.sleep(0)
        for column in columns:
            yield f"# TYPE corral_{noun}_{column} gauge\n".encode()
            for first in range(0, len(rows), AT_ONCE):
                yield "".join(_lines(noun, column, rows[first : first + AT_ONCE])).encode()
                await self.core.clock.sleep(0)


def _lines(noun: str, column: str, rows: Iterable[Row]) -> Iterator[str]:
    for id, name, figures in rows:
        if column in figures:
            yield f'corral_{noun}_{column}{{{noun}="{_escaped(name)}",id="{id}"}} {float(figures[column])!r}\n'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class _Fleet(Collector):
    """Counts of what the mirror holds."""

    def __init__(self, core: ApiCore, watches: "Watches") -> None:
        self.core, self.watches = core, watches

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()  # known only when asked

    def collect(self) -> Iterator[GaugeMetricFamily]:
        mirror = self.core.mirror
        yield GaugeMetricFamily(
            "corral_mirror_revision", "Revision that this server has seen", mirror.revision
        )
        yield GaugeMetricFamily(
            "corral_leading", "1 where this server's controllers run", float(self.core.leading)
        )
        yield GaugeMetricFamily("corral_watch_streams", "Open streams of changes", self.watches.open)
        yield _family(
            "corral_resources",
            "Resources by kind",
            "kind",
            {k: len(mirror.list(t)) for k, t in KINDS.items()},
        )
        kinds = Counter({str(kind): 0 for kind in ConsoleKind})
        kinds.update(str(console.kind) for console in self.core.consoles.list())
        yield _family("corral_consoles", "Console sessions that are open, by kind", "kind", kinds)
        nodes = mirror.list(Node)
        linked = sum(1 for node in nodes if self.core.hub.linked(NodeId(node.id)))
        yield GaugeMetricFamily("corral_linked_nodes", "Nodes whose agent is linked to this server", linked)
        yield _family("corral_nodes", "Nodes by phase", "phase", Counter(str(n.status.phase) for n in nodes))
        yield _family(
            "corral_vms", "VMs by phase", "phase", Counter(str(v.status.phase) for v in mirror.list(VM))
        )
        states = Counter(str(o.status.state) for o in mirror.list(Operation))
        yield _family("corral_operations", "Operations kept, by state", "state", states)


def _family(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, count in sorted(values.items()):
        family.add_metric((value,), count)
    return family
