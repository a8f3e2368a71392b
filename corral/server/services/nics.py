"""NICs of a new VM: ports with addresses that nobody else has."""

from ipaddress import AddressValueError, IPv4Address, ip_network

from corral.clock import Clock, new_id
from corral.errors import CorralError, Invalid
from corral.model.ids import NetworkId, VmId
from corral.model.network import Network, Subnet
from corral.model.port import Port, PortSpec
from corral.model.profile import NicChoice
from corral.model.vm import Nic
from corral.server.services.hardware import layered, tuned_nic
from corral.server.services.requests import CreateVM, NewNic
from corral.store.mirror import Mirror


class NoAddress(CorralError):
    """The subnet has no free address left, or the one asked for is taken."""

    code = "network.no_address"
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
            if self.mirror.named(Port, port_name(network, address)) is None:
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
        address = _address(nic, network, addresses, f"nics[{number}].address")
        ports.append(
            Port(
                id=new_id("port", clock),
                name=port_name(network, address or mac),
                project=network.project,
                created_at=clock.now_s(),
                spec=PortSpec(network=NetworkId(network.id), vm=vm, mac=mac, address=address),
            )
        )
        plain = Nic(network=NetworkId(network.id), mac=mac, address=address)
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


def _address(nic: NewNic, network: Network, addresses: Addresses, field: str) -> str:
    subnet = network.spec.subnet
    if subnet is None:
        if nic.address:
            raise Invalid(field, nic.address, "empty", hint=f"Network {network.name} manages no addresses.")
        return ""
    if not nic.address:
        return addresses.free(network, subnet)
    try:
        inside = IPv4Address(nic.address) in ip_network(subnet.cidr)
    except AddressValueError:
        inside = False
    if not inside:
        raise Invalid(field, nic.address, f"an address in {subnet.cidr}")
    if addresses.mirror.named(Port, port_name(network, nic.address)):
        raise NoAddress(
            f"{nic.address} is taken", hint="Leave it out to get the next free one.", network=network.id
        )
    return nic.address
