"""Seed: the NoCloud files that a guest reads at its first boot."""

import json

from corral.model.link import NicAssignment, VmAssignment


def seed_files(vm: VmAssignment) -> dict[str, str]:
    """Text by file name. JSON is YAML, and quotes by itself what needs to be."""
    files = {
        "meta-data": vm.cloud_init.meta_data or _meta_data(vm),
        "user-data": vm.cloud_init.user_data or "#cloud-config\n{}\n",
    }
    if network := vm.cloud_init.network_config or _network_config(vm.nics):
        files["network-config"] = network
    return files


def _meta_data(vm: VmAssignment) -> str:
    return f"instance-id: {json.dumps(vm.vm)}\nlocal-hostname: {json.dumps(vm.name)}\n"


def _network_config(nics: tuple[NicAssignment, ...]) -> str:
    """DHCP on each NIC, which is found by its MAC address: names differ between systems."""
    if not nics:
        return ""
    lines = ["version: 2", "ethernets:"]
    for number, nic in enumerate(nics):
        lines += [f"  nic{number}:", f"    match: {{macaddress: {json.dumps(nic.mac)}}}", "    dhcp4: true"]
    return "\n".join(lines) + "\n"
