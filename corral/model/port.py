"""Port: a VM's attachment to a network. Its name reserves the address: two VMs can't have the same one."""

from typing import ClassVar

from msgspec import Struct

from corral.model.ids import NetworkId, VmId
from corral.model.resource import Resource


class PortSpec(Struct, frozen=True, kw_only=True):
    network: NetworkId
    vm: VmId
    mac: str
    address: str = ""


class Port(Resource, frozen=True, kw_only=True, tag="Port"):
    """Made and removed together with its VM. Named NETWORK-ADDRESS, or MAC where no address is managed."""

    PREFIX: ClassVar = "port"
    PLURAL: ClassVar = "ports"
    SUMMARY: ClassVar = "a VM's attachment to a network"

    spec: PortSpec
