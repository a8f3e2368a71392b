"""Nouns: what a Client can do with each kind.

In this room   Noun, what all kinds share; VMs, Images, Nodes, … with what is their own
Comes in       names or ids; fields as the API's bodies have them (corral/server/services/requests.py)
Goes out       model structs; Operations for whatever takes time
Always true    nothing is decided here: each method is one request (pages and uploads: several)
Next door      client.py puts them together
Start here     Noun
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Self, TypeVar
from urllib.parse import quote

import msgspec

from corral.client.connection import Answer, Connection, Query, Request
from corral.client.errors import BadAnswer
from corral.client.upload import Progress, upload
from corral.client.watch import Change, ended, wait, watch
from corral.errors import Invalid, NotFound, PreconditionFailed
from corral.model.console import ConsoleTicket
from corral.model.event import Event
from corral.model.found import FoundDomain
from corral.model.group import PlacementGroup
from corral.model.image import Image
from corral.model.network import Network
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.policy import SchedulingPolicy
from corral.model.pool import StoragePool
from corral.model.port import Port
from corral.model.profile import VMProfile
from corral.model.rebalance import Rebalance
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot
from corral.model.token import JoinToken, Token
from corral.model.vm import VM
from corral.model.volume import Volume

R = TypeVar("R", bound=Resource)
T = TypeVar("T")
EDITS_MAX: Final = 20  # a status that changes counts as a change too
PAGE: Final = 1000  # resources in one answer


class Page(msgspec.Struct, Generic[R]):
    """One answer of a list."""

    items: tuple[R, ...]
    next: str | None = None  # cursor of the next page
    revision: int = 0  # of the mirror that it was read from: watch from here
    total: int | None = None


class _Name(msgspec.Struct):
    id: str
    name: str


class _Names(msgspec.Struct):
    items: tuple[_Name, ...]
    next: str | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a change is to be done."""

    dry_run: bool = False  # check everything, change nothing
    if_match: int | None = None  # revision that the target must be at


class Noun(Generic[R]):
    """Reading, watching, labelling and deleting: the same for every kind."""

    kind: ClassVar[type[Resource]]

    def __init__(self, connection: Connection, options: Options | None = None) -> None:
        self._connection, self._options = connection, options or Options()

    def list(self, *, sort: str = "", limit: int = 0, **filters: str | Sequence[str]) -> list[R]:
        """All that fit, `limit` at most. Filters are fields and their value: phase="running", label="a=b"."""
        return list(self.each(sort=sort, limit=limit, **filters))

    def each(self, *, sort: str = "", limit: int = 0, **filters: str | Sequence[str]) -> Iterator[R]:
        """The same, page by page as they are needed."""
        query = {k: v for k, v in {"sort": sort, **filters}.items() if v}
        left, cursor = limit or 1 << 62, ""
        while left > 0:
            page = self.page(limit=min(PAGE, left), cursor=cursor, **query)
            yield from page.items
            left -= len(page.items)
            if not page.next:
                return
            cursor = page.next

    def page(self, *, limit: int = PAGE, cursor: str = "", **query: str | Sequence[str]) -> Page[R]:
        """One page, with the revision that it is true for."""
        asked: Query = {"limit": str(limit), **({"cursor": cursor} if cursor else {}), **query}
        return decoded(self._get("", asked), Page[self.kind])  # type: ignore[name-defined]

    def get(self, name: str) -> R:
        """Raises  NotFound"""
        return decoded(self._get(_quoted(name)), self.kind)  # type: ignore[return-value]

    def find(self, name: str) -> R | None:
        """The same, or None."""
        try:
            return self.get(name)
        except NotFound:
            return None

    def names(self) -> dict[str, str]:
        """All names by id: nothing else is asked for."""
        found: dict[str, str] = {}
        query: dict[str, str] = {"fields": "id,name", "limit": str(PAGE)}
        while True:
            page = decoded(self._get("", query), _Names)
            found.update((item.id, item.name) for item in page.items)
            if not page.next:
                return found
            query["cursor"] = page.next

    def watch(self, since: int | None = None, **filters: str | Sequence[str]) -> Iterator[Change[R]]:
        """Changes as they happen, without end, from after a revision (None: from now on)."""
        return watch(self._connection, self.kind, since=since, query=filters)  # type: ignore[arg-type]

    def delete(self, name: str) -> Operation:
        return self._change("DELETE", _quoted(name))

    def set_labels(self, name: str, labels: Mapping[str, str]) -> Operation:
        """Replace all labels."""
        return self.update(name, labels=dict(labels))

    def update(self, name: str, **fields: object) -> Operation:
        """Change these fields; the others stay as they are."""
        return self._change("PATCH", _quoted(name), fields)

    def edit(self, name: str, change: Callable[[R], Mapping[str, object]]) -> Operation:
        """Change what `change` makes of what is there; looked at again when somebody changed it in between.

        raises  PreconditionFailed: somebody was faster each time
        """
        for left in range(EDITS_MAX - 1, -1, -1):
            now = self.get(name)
            editing = self.having(dry_run=self._options.dry_run, if_match=now.revision)
            try:
                return editing.update(name, **change(now))
            except PreconditionFailed:
                if not left:
                    raise
        raise AssertionError("not reached")

    def create(self, **fields: object) -> Operation:
        """Ask for a new one."""
        return self._change("POST", "", fields)

    def having(self, *, dry_run: bool = False, if_match: int | None = None) -> Self:
        """The same noun; what it changes is only checked, or only done at this revision."""
        return type(self)(self._connection, Options(dry_run=dry_run, if_match=if_match))

    def _path(self, rest: str) -> str:
        return f"/api/v1/{self.kind.PLURAL}" + (f"/{rest}" if rest else "")

    def _get(self, rest: str, query: Query | None = None) -> Answer:
        return self._connection.send(Request("GET", self._path(rest), query or {}))

    def _send(
        self, method: str, rest: str, body: Mapping[str, object] | None, query: Query | None = None
    ) -> Answer:
        query = {k: v for k, v in (query or {}).items() if v}
        if self._options.dry_run:
            query["dry_run"] = "true"
        headers = {"If-Match": f'"{self._options.if_match}"'} if self._options.if_match is not None else {}
        content = None if body is None else msgspec.json.encode(body)
        return self._connection.send(Request(method, self._path(rest), query, content, headers))

    def _change(
        self,
        method: str,
        rest: str,
        body: Mapping[str, object] | None = None,
        query: Query | None = None,
    ) -> Operation:
        return decoded(self._send(method, rest, body, query), Operation)


def _flag(force: bool) -> dict[str, str]:
    return {"force": "true" if force else ""}


class VMs(Noun[VM]):
    kind = VM

    def preflight(self, name: str, to: str = "") -> dict[str, Any]:
        """What would prevent its live migration, for every node or for one, and what that would take."""
        query = {"to": to} if to else {}
        return decoded(self._get(f"{_quoted(name)}/preflight", query), dict[str, Any])

    def explain(self, name: str) -> dict[str, Any]:
        """Why it is where it is, what it waits for, what happened lately; as the API's Explanation."""
        return decoded(self._get(f"{_quoted(name)}/explain"), dict[str, Any])

    def start(self, name: str) -> Operation:
        return self._change("POST", f"{_quoted(name)}/start")

    def stop(self, name: str, *, force: bool = False) -> Operation:
        """Ask the guest to shut down; `force`: pull the plug."""
        return self._change("POST", f"{_quoted(name)}/stop", query={"force": "true" if force else ""})

    def restart(self, name: str, *, force: bool = False) -> Operation:
        return self._change("POST", f"{_quoted(name)}/restart", query={"force": "true" if force else ""})

    def migrate(self, name: str, target: str = "") -> Operation:
        """Move it to another node while it runs; without a target, where the scheduler likes."""
        return self._change("POST", f"{_quoted(name)}/migrate", {"target": target})

    def screenshot(self, name: str) -> bytes:
        """What is on its screen, as PNG."""
        return self._get(f"{_quoted(name)}/screenshot").body

    def console_ticket(self, name: str, kind: str = "serial") -> ConsoleTicket:
        """The right to open one console, once and soon, without a token: for a browser."""
        return decoded(self._send("POST", f"{_quoted(name)}/console-tickets", {"kind": kind}), ConsoleTicket)

    def set_address(self, name: str, address: str = "", *, network: str = "") -> Operation:
        """Give its port another address, or the next free one; the guest has it when it asks DHCP anew."""
        return self._change("POST", f"{_quoted(name)}/address", {"network": network, "address": address})

    def clone(self, name: str, new: str, **fields: object) -> Operation:
        """Create a VM that begins as a copy of this one: full, snapshot, running, pool, node, labels."""
        return self._change("POST", f"{_quoted(name)}/clone", {"name": new, **fields})

    def attach_disk(self, name: str, **disk: object) -> Operation:
        """`volume` for one that exists; else size, image and pool of a new one."""
        return self._change("POST", f"{_quoted(name)}/disks", disk)

    def detach_disk(self, name: str, volume: str, *, force: bool = False) -> Operation:
        """`force`: a guest that does not let go loses its power, and is started without the disk."""
        return self._change("DELETE", f"{_quoted(name)}/disks/{_quoted(volume)}", query=_flag(force))

    def limit_disk(self, name: str, volume: str, **limits: int) -> Operation:
        """iops, bytes_s, and the same with read_ and write_, a second; what is not given has no limit."""
        return self._change("PATCH", f"{_quoted(name)}/disks/{_quoted(volume)}", {"limits": limits})

    def attach_nic(self, name: str, **nic: object) -> Operation:
        """`network`, and mac and address where they matter."""
        return self._change("POST", f"{_quoted(name)}/nics", nic)

    def detach_nic(self, name: str, nic: str, *, force: bool = False) -> Operation:
        """By MAC or IP address, or by network."""
        return self._change("DELETE", f"{_quoted(name)}/nics/{_quoted(nic)}", query=_flag(force))

    def limit_nic(self, name: str, nic: str, **limits: int) -> Operation:
        """in_mbit (to the guest) and out_mbit, a second; what is not given has no limit."""
        return self._change("PATCH", f"{_quoted(name)}/nics/{_quoted(nic)}", {"limits": limits})

    def insert(self, name: str, **medium: object) -> Operation:
        """`image` or `volume` into its CD drive."""
        return self._change("POST", f"{_quoted(name)}/insert", medium)

    def eject(self, name: str, *, force: bool = False) -> Operation:
        return self._change("POST", f"{_quoted(name)}/eject", query=_flag(force))

    def rename(self, name: str, new_name: str) -> Operation:
        return self._change("PATCH", _quoted(name), {"name": new_name})

    def pause(self, name: str) -> Operation:
        return self._change("POST", f"{_quoted(name)}/pause")

    def resume(self, name: str) -> Operation:
        return self._change("POST", f"{_quoted(name)}/resume")

    def suspend(self, name: str) -> Operation:
        """Its memory goes to its node's disk; start() goes on from there."""
        return self._change("POST", f"{_quoted(name)}/suspend")

    def delete(
        self, name: str, *, keep_volumes: bool = False, purge: bool = False, erase: bool = False
    ) -> Operation:
        """Its volumes go into the trash; `purge`: for good; `erase`: files of an adopted VM go too."""
        flags = {"keep_volumes": keep_volumes, "purge": purge, "erase": erase}
        query = {flag: "true" if given else "" for flag, given in flags.items()}
        return self._change("DELETE", _quoted(name), query=query)

    def settle(self, name: str, how: str, digest: str = "") -> Operation:
        """What somebody else changed in its definition: "accept" it or "revert" it, if it is still the one seen."""
        return self._change("POST", f"{_quoted(name)}/drift", {"settle": how, "digest": digest})

    def release(self, name: str) -> Operation:
        """Hand it back: its domain goes on without Corral, all files stay."""
        return self._change("POST", f"{_quoted(name)}/release")


class Volumes(Noun[Volume]):
    kind = Volume

    def resize(self, name: str, size: str | int) -> Operation:
        """Larger only."""
        return self._change("POST", f"{_quoted(name)}/resize", {"size": size})

    def clone(self, name: str, new_name: str, **fields: object) -> Operation:
        """Make a new volume that begins as a copy of this one."""
        return self._change("POST", f"{_quoted(name)}/clone", {"name": new_name, **fields})

    def delete(self, name: str, *, purge: bool = False, wipe: bool = False) -> Operation:
        """Put it into the trash; `purge`: delete it for good; `wipe`: overwrite it before that."""
        query = {"purge": "true" if purge else "", "wipe": "true" if wipe else ""}
        return self._change("DELETE", _quoted(name), query=query)

    def move(self, name: str, pool: str) -> Operation:
        """Put it into another pool, while its VM runs or not."""
        return self._change("POST", f"{_quoted(name)}/move", {"pool": pool})

    def restore(self, name: str, new_name: str = "") -> Operation:
        """Take it out of the trash."""
        return self._change("POST", f"{_quoted(name)}/restore", {"name": new_name})


class Snapshots(Noun[Snapshot]):
    kind = Snapshot

    def take(
        self,
        vm: str,
        name: str,
        *,
        memory: bool = False,
        freeze: bool = True,
        description: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Operation:
        """Take one of a VM; it is called VM.NAME."""
        body = {
            "name": name,
            "memory": memory,
            "freeze": freeze,
            "description": description,
            "labels": dict(labels or {}),
        }
        vms = VMs(self._connection, self._options)
        return vms._change("POST", f"{_quoted(vm)}/snapshots", body)

    def revert(self, name: str) -> Operation:
        """Put its VM back to it; what was written since is lost."""
        return self._change("POST", f"{_quoted(name)}/revert")


class Pools(Noun[StoragePool]):
    kind = StoragePool


class Networks(Noun[Network]):
    kind = Network

    def add_forward(
        self, name: str, *, port: int, vm: str, to_port: int = 0, protocol: str = "tcp"
    ) -> Operation:
        """Forward a port of whichever node runs the VM to the VM."""
        body: dict[str, object] = {"port": port, "vm": vm, "to_port": to_port, "protocol": protocol}
        return self._change("POST", f"{_quoted(name)}/forwards", body)

    def remove_forward(self, name: str, forward: str) -> Operation:
        """End a forward, named like tcp-8080."""
        return self._change("DELETE", f"{_quoted(name)}/forwards/{_quoted(forward)}")


class Ports(Noun[Port]):
    kind = Port


class Profiles(Noun[VMProfile]):
    kind = VMProfile


class Policies(Noun[SchedulingPolicy]):
    kind = SchedulingPolicy


class Groups(Noun[PlacementGroup]):
    kind = PlacementGroup


class Rebalances(Noun[Rebalance]):
    kind = Rebalance

    def plan(self, **fields: object) -> dict[str, Any]:
        """What a rebalance would do now; nothing moves."""
        body = msgspec.json.encode(fields)
        answer = self._connection.send(Request("POST", "/api/v1/rebalance/plan", {}, body))
        return decoded(answer, dict[str, Any])

    def apply(self, **fields: object) -> Operation:
        """Move VMs towards the goal."""
        query = {"dry_run": "true"} if self._options.dry_run else {}
        body = msgspec.json.encode(fields)
        return decoded(self._connection.send(Request("POST", "/api/v1/rebalance", query, body)), Operation)


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """What an adoption makes of a domain."""

    domain: str
    node: str
    vm: VM
    volumes: tuple[Volume, ...] = ()
    ports: tuple[Port, ...] = ()
    networks: tuple[Network, ...] = ()  # new ones, for bridges that had none
    kept: tuple[str, ...] = ()  # what Corral does not model and gives back on each define


class FoundDomains(Noun[FoundDomain]):
    """Domains on nodes that Corral does not manage. Lists leave their XML out."""

    kind = FoundDomain

    def adopt(self, name: str, *, vm: str = "", labels: Mapping[str, str] | None = None) -> Operation:
        """Make a VM of it, called `vm`; its guest runs on untouched."""
        return self._change("POST", f"{_quoted(name)}/adopt", {"name": vm, "labels": dict(labels or {})})

    def preview(self, name: str, *, vm: str = "") -> Adoption:
        """What an adoption would make of it. raises the error that stands in its way"""
        answer = self.having()._send("POST", f"{_quoted(name)}/preview", {"name": vm})
        return decoded(answer, Adoption)


class Events(Noun[Event]):
    kind = Event


class Images(Noun[Image]):
    kind = Image

    def upload(
        self,
        name: str,
        path: str | Path,
        *,
        sha256: str = "",
        format: str = "",
        os: str = "",
        labels: dict[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """Make an image of a file. progress(what, done, all) is told of the checksum and of the upload."""
        return upload(
            self,
            self._connection,
            name,
            Path(path),
            promised=sha256,
            format=format,
            os=os,
            labels=labels,
            progress=progress,
        )


class NewJoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` is what `corral agent join` takes, once; it is in this answer and nowhere else."""

    resource: JoinToken
    secret: str


class Nodes(Noun[Node]):
    kind = Node

    def cordon(self, name: str) -> Operation:
        """No new VMs there; those it has stay."""
        return self.update(name, cordoned=True)

    def uncordon(self, name: str) -> Operation:
        return self.update(name, cordoned=False)

    def remove(self, name: str, *, force: bool = False) -> Operation:
        """Take it out for good; `force` gives up the VMs on it."""
        return self._change("DELETE", _quoted(name), query={"force": "true" if force else ""})

    def join_token(self, *, ttl_s: float = 3600.0) -> NewJoinToken:
        return decoded(self._send("POST", "join-tokens", {"ttl_s": ttl_s}), NewJoinToken)


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` is what requests prove themselves with; it is in this answer and nowhere else."""

    resource: Token
    secret: str


class Tokens(Noun[Token]):
    kind = Token

    def issue(self, name: str, *, role: str = "viewer", ttl_s: float | None = None) -> NewToken:
        """Make a token. Its secret is in the answer and nowhere else."""
        body: dict[str, object] = {"name": name, "role": role, "ttl_s": ttl_s}
        return decoded(self._send("POST", "", body), NewToken)


class Operations(Noun[Operation]):
    kind = Operation

    def cancel(self, name: str) -> Operation:
        """Ask it to stop, and give it as it is then; it ends as `cancelled` once that has happened."""
        self._change("POST", f"{_quoted(name)}/cancel")
        return self.get(name)

    def wait(
        self,
        operation: Operation | str,
        timeout_s: float | None = None,
        on_progress: Callable[[Operation], None] | None = None,
    ) -> Operation:
        """Follow it until it has ended well. No polling: the server says what happens.

        raises  the error that it ended with; Cancelled; StillRunning: `timeout_s` has passed
        """
        now = self.get(operation) if isinstance(operation, str) else operation
        return ended(wait(self._connection, now, timeout_s=timeout_s, on_progress=on_progress))


def _quoted(name: str) -> str:
    """A name or id as a part of a path. Raises Invalid: an empty one would mean all of them"""
    if not name:
        raise Invalid("name", name, "a name or an id")
    return quote(name, safe="")


def decoded(answer: Answer, type_: type[T]) -> T:
    """Raises  BadAnswer"""
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except msgspec.DecodeError as error:
        raise BadAnswer(
            f"an answer that this version can't read: {error}", hint="Are client and server of one age?"
        ) from None
