"""NICs of a new VM: ports with addresses that nobody else has."""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address

from corral.clock import Clock, new_id
from corral.errors import CorralError, Invalid
from corral.model.ids import NetworkId, VmId
from corral.model.network import Network, Subnet
from corral.model.port import Port, PortSpec
from corral.model.profile import NicChoice
from corral.model.vm import Nic
from corral.server.services.hardware import layered, tuned_nic
from corral.server.services.requests import CreateVM
from corral.store.mirror import Mirror


class NoAddress(CorralError):
    """The subnet has no free address left, or the one asked for is taken."""

    code = "network.no_address"
    status = 409


class MacTaken(CorralError):
    """Another NIC has this MAC address."""

    code = "network.mac_taken"
    status = 409


class Addresses:
    """Hands out addresses in turn; remembers where it was, so that it need not search from the start."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.next: dict[str, int] = {}  # by NetworkId: where to look first; a hint only

    def free(self, network: Network, subnet: Subnet) -> str:
        first, last = int(IPv4Address(subnet.first)), int(IPv4Address(subnet.last))
        start = self.next.get(network.id, first)
        count = last - first + 1
        for step in range(count):
            candidate = first + (start - first + step) % count
            address = str(IPv4Address(candidate))
            if not subnet.reserves(address) and self.mirror.named(Port, port_name(network, address)) is None:
                self.next[network.id] = candidate + 1
                return address
        raise NoAddress(
            f"network {network.name} has no free address between {subnet.first} and {subnet.last}",
            hint="Delete VMs, or use a network with a larger range.",
            network=network.id,
        )


def new_ports(
    ask: CreateVM, vm: VmId, addresses: Addresses, mirror: Mirror, clock: Clock, choice: NicChoice
) -> tuple[tuple[Port, ...], tuple[Nic, ...]]:
    """A port for each NIC asked for, each NIC as `choice` says where it does not say so itself.

    raises  NotFound, Invalid, NoAddress
    """
    ports: list[Port] = []
    nics: list[Nic] = []
    for number, nic in enumerate(ask.nics):
        network = mirror.find(Network, nic.network)
        mac = nic.mac.lower() or make_mac(clock)
        check_mac(mac, f"nics[{number}].mac")
        _check_mac_free(mac, ports, mirror)
        address = choose_address(nic.address, network, addresses, f"nics[{number}].address")
        ports.append(
            Port(
                id=new_id("port", clock),
                name=port_name(network, address or mac),
                project=network.project,
                created_at=clock.now_s(),
                spec=PortSpec(network=NetworkId(network.id), vm=vm, mac=mac, address=address),
            )
        )
        plain = Nic(network=NetworkId(network.id), mac=mac, address=address, anti_spoofing=nic.anti_spoofing)
        nics.append(tuned_nic(plain, layered(choice, nic), f"nics[{number}]"))
    return tuple(ports), tuple(nics)


def port_name(network: Network, address: str) -> str:
    return f"{network.id.lower()}-{address.replace(':', '')}"


def make_mac(clock: Clock) -> str:
    """A locally administered MAC address: 0e and 40 bits of chance."""
    octets = [0x0E, *clock.chance.getrandbits(40).to_bytes(5, "big")]
    return ":".join(f"{o:02x}" for o in octets)


def check_mac(mac: str, field: str) -> None:
    parts = mac.split(":")
    if len(parts) != 6 or any(len(p) != 2 or not set(p) <= set("0123456789abcdef") for p in parts):
        raise Invalid(field, mac, "a MAC address like 0e:12:34:56:78:9a")
    if int(parts[0], 16) & 1:
        raise Invalid(field, mac, "a unicast MAC address", hint="The first octet has to be even.")


def _check_mac_free(mac: str, ports: Sequence[Port], mirror: Mirror) -> None:
    """Raises MacTaken: by another VM, or by another NIC of this one"""
    taken = mirror.select(Port, "mac", mac) or [port for port in ports if port.spec.mac == mac]
    if taken:
        raise MacTaken(
            f"the MAC address {mac} is taken",
            hint="Leave it out to get a new one.",
            mac=mac,
            port=taken[0].name,
        )


def choose_address(asked: str, network: Network, addresses: Addresses, field: str) -> str:
    """The address asked for, or the next free one; empty where the network has none to give.

    raises  Invalid, NoAddress
    """
    subnet = network.spec.subnet
    if subnet is None:
        if asked:
            raise Invalid(field, asked, "empty", hint=f"Network {network.name} manages no addresses.")
        return ""
    if not asked:
        return addresses.free(network, subnet)
    try:
        inside = IPv4Address(asked) in subnet.network
    except AddressValueError:
        inside = False
    if not inside:
        raise Invalid(field, asked, f"an address in {subnet.cidr}")
    if subnet.reserves(asked):
        raise Invalid(field, asked, "an address for a VM", hint="It is the network's own, or its gateway's.")
    if addresses.mirror.named(Port, port_name(network, asked)):
        raise NoAddress(
            f"{asked} is taken", hint="Leave it out to get the next free one.", network=network.id
        )
    return asked
