"""Cloud-init data, checked before a guest sees it: what cloud-init would ignore or stumble over is refused here.

In this room   check_cloud_init(), pure
Comes in       CloudInit as a user gave it
Goes out       nothing, or Invalid with the field, the line and what would be right
Always true    nothing is refused that cloud-init would do something with: keys that are not known here pass, unless
               they look like a known one misspelt
Next door      storage/seed.py puts the texts on the NoCloud disk
Start here     check_cloud_init()
source         cloudinit.readthedocs.io: user data formats, modules, network configuration
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

import yaml

from corral.errors import Invalid
from corral.model.units import KiB
from corral.model.vm import CloudInit

BYTES_MAX: Final = 256 * KiB
CONFIG: Final = "#cloud-config"
OTHER_FORMATS: Final = (  # first line: what cloud-init takes it for
    "#!", "#include", "#cloud-boothook", "#part-handler", "#cloud-config-archive", "#cloud-config-jsonp",
    "## template:", "Content-Type:", "MIME-Version:", "From ",
)  # fmt: skip
LISTS: Final = frozenset(["bootcmd", "runcmd", "packages", "ssh_authorized_keys", "write_files", "mounts"])
KEYS: Final = LISTS | frozenset(
    [
        "ansible",
        "apk_repos",
        "apt",
        "autoinstall",
        "byobu_by_default",
        "ca_certs",
        "chef",
        "chpasswd",
        "cloud_config_modules",
        "cloud_final_modules",
        "cloud_init_modules",
        "create_hostname_file",
        "datasource",
        "datasource_list",
        "debug",
        "device_aliases",
        "disable_ec2_metadata",
        "disable_root",
        "disk_setup",
        "drivers",
        "fan",
        "final_message",
        "fqdn",
        "fs_setup",
        "groups",
        "growpart",
        "grub_dpkg",
        "hostname",
        "keyboard",
        "landscape",
        "launch-index",
        "locale",
        "locale_configfile",
        "lxd",
        "manage_etc_hosts",
        "manage_resolv_conf",
        "mcollective",
        "merge_how",
        "merge_type",
        "migrate",
        "mount_default_fields",
        "network",
        "no_ssh_fingerprints",
        "ntp",
        "output",
        "package_reboot_if_required",
        "package_update",
        "package_upgrade",
        "password",
        "phone_home",
        "power_state",
        "prefer_fqdn_over_hostname",
        "preserve_hostname",
        "puppet",
        "random_seed",
        "reporting",
        "resize_rootfs",
        "resolv_conf",
        "rh_subscription",
        "rsyslog",
        "runcmd",
        "salt_minion",
        "snap",
        "spacewalk",
        "ssh",
        "ssh_deletekeys",
        "ssh_fp_console_blacklist",
        "ssh_genkeytypes",
        "ssh_import_id",
        "ssh_key_console_blacklist",
        "ssh_keys",
        "ssh_publish_hostkeys",
        "ssh_pwauth",
        "ssh_quiet_keygen",
        "swap",
        "system_info",
        "timezone",
        "ubuntu_advantage",
        "ubuntu_pro",
        "unverified_modules",
        "updates",
        "user",
        "users",
        "vendor_data",
        "version",
        "wireguard",
        "yum_repo_dir",
        "yum_repos",
        "zypper",
    ]
)
TEXTS: Final = frozenset({"hostname", "fqdn", "timezone", "locale", "password", "final_message"})


def check_cloud_init(data: CloudInit) -> None:
    """Raises  Invalid: too long, no YAML, or not what cloud-init would take it for"""
    for field in ("user_data", "meta_data", "network_config"):
        text = getattr(data, field)
        if len(text.encode()) > BYTES_MAX:
            raise Invalid(f"cloud_init.{field}", "(long text)", "at most 256 KiB")
    if data.user_data:
        _check_user_data("cloud_init.user_data", data.user_data)
    if data.meta_data:
        _mapping("cloud_init.meta_data", data.meta_data)
    if data.network_config:
        _check_network("cloud_init.network_config", data.network_config)


def _check_user_data(field: str, text: str) -> None:
    first = text.lstrip("\ufeff").split("\n", 1)[0].rstrip()
    if first.split(" ")[0] == CONFIG:
        _check_config(field, _mapping(field, text, empty=True))
    elif not first.startswith(OTHER_FORMATS):
        raise Invalid(
            field,
            first,
            f"a first line that cloud-init knows, like {CONFIG} or #!/bin/sh",
            hint=f"Without it, cloud-init does nothing with the rest. Put {CONFIG} in front.",
        )


def _check_config(field: str, config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        if key not in KEYS and (near := get_close_matches(str(key), KEYS, 1, cutoff=0.85)):
            raise Invalid(field, key, "a key that cloud-init knows", hint=f"Did you mean {near[0]}?")
        if key in LISTS and value is not None and not isinstance(value, list):
            raise Invalid(f"{field}: {key}", value, "a list", hint=f"Write it like {key}: [ … ].")
        if key in TEXTS and not isinstance(value, str):
            raise Invalid(f"{field}: {key}", value, "a text", hint="Put it between quotation marks.")
    for number, file in enumerate(config.get("write_files") or ()):
        if not isinstance(file, dict) or not isinstance(file.get("path"), str):
            raise Invalid(f"{field}: write_files[{number}]", file, "an object with a path")


def _check_network(field: str, text: str) -> None:
    config = _mapping(field, text)
    inner = config.get("network", config)
    version = inner.get("version") if isinstance(inner, dict) else None
    if version not in (1, 2):
        raise Invalid(
            field,
            f"version: {version}",
            "a network configuration of version 1 or 2",
            hint="Begin with version: 2.",
        )


def _mapping(field: str, text: str, *, empty: bool = False) -> dict[str, Any]:
    try:
        read = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line if mark else 0
        there = text.splitlines()[line : line + 1] or [""]
        said = f"line {line + 1}: {there[0].strip()}"
        raise Invalid(field, said, "YAML", hint=f"{error.problem or 'It is broken'}.") from None
    except yaml.YAMLError as error:
        raise Invalid(field, text[:60], "YAML", hint=str(error)) from None
    if read is None and empty:
        return {}
    if not isinstance(read, dict):
        raise Invalid(field, text[:60], "YAML with keys and values")
    return read
