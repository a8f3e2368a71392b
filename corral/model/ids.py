"""Ids: a type of its own for each kind, so that a VmId can't stand where a NodeId should."""

from typing import NewType

NodeId = NewType("NodeId", str)
VmId = NewType("VmId", str)
VolumeId = NewType("VolumeId", str)
ImageId = NewType("ImageId", str)
PoolId = NewType("PoolId", str)
NetworkId = NewType("NetworkId", str)
SnapshotId = NewType("SnapshotId", str)
OperationId = NewType("OperationId", str)
EventId = NewType("EventId", str)
GroupId = NewType("GroupId", str)
TokenId = NewType("TokenId", str)
