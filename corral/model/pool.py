"""StoragePool: a directory in which volumes live, on one node or shared between nodes."""

from typing import ClassVar

from msgspec import Struct

from corral.model.ids import NodeId
from corral.model.resource import Resource


class StoragePoolSpec(Struct, frozen=True, kw_only=True):
    path: str  # absolute; the same on each node
    shared: bool = False  # True: the nodes see the same files there (NFS, cluster file system)
    nodes: tuple[NodeId, ...] = ()  # where it is; empty: on every node


class StoragePoolStatus(Struct, frozen=True, kw_only=True):
    marker: str = (
        ""  # shared: of the file system that was seen first; nodes that see another one have not mounted it
    )


class StoragePool(Resource, frozen=True, kw_only=True, tag="StoragePool"):
    """Where volumes live. What each node sees of it stands in NodeStatus.pools."""

    PREFIX: ClassVar = "pool"
    PLURAL: ClassVar = "pools"
    SUMMARY: ClassVar = "where volumes live"

    spec: StoragePoolSpec
    status: StoragePoolStatus = StoragePoolStatus()

    def on(self, node: NodeId) -> bool:
        """Whether the pool is meant to be on this node."""
        return not self.spec.nodes or node in self.spec.nodes
