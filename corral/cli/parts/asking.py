"""Asking: what `corral vm create` says, as the API's body has it. Texts in, plain values out.

In this room   disks_of(), nics_of(), cloud_init_of(), with_keys()
Always true    mistakes that the server would find are left to the server; those that it can't see are found here
Start here     disks_of()
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from corral.cli.parts.hardware import (
    DISK_LIMITS,
    DISK_TUNING,
    NIC_LIMITS,
    NIC_TUNING,
    YES_NO,
    disk_body,
    nic_body,
)
from corral.errors import Invalid

SPOOFING: Final = "anti-spoofing"
DISK_FIELDS: Final = ("volume", "size", "image", "pool", *DISK_TUNING, *DISK_LIMITS)
NIC_FIELDS: Final = ("address", "mac", SPOOFING, *NIC_TUNING)
CLOUD_CONFIG: Final = "#cloud-config"


def disks_of(image: str, pool: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The first one is made from the image, unless its text says otherwise; without texts it is as large as the image.

    raises  Invalid: an unknown field, or neither image nor disk
    """
    disks = [_fields(text, "disk", DISK_FIELDS, "size") for text in texts]
    if image and not (disks and ("volume" in disks[0] or "image" in disks[0])):
        first = disks[0] if disks else {}
        disks[:1] = [{"image": image, **first}]
    elif image:
        raise Invalid("--image", image, "needed: the first --disk says what it is made of")
    return [
        disk_body(disk if "volume" in disk or "pool" in disk or not pool else {**disk, "pool": pool})
        for disk in disks
    ]


def nics_of(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`default` or `default,address=10.0.0.5,model=e1000e`. raises Invalid"""
    return [_nic(_fields(text, "network", ("network", *NIC_FIELDS), "network")) for text in texts]


def _nic(fields: dict[str, str]) -> dict[str, Any]:
    """anti-spoofing=off excepts it. raises Invalid"""
    body = nic_body({name: text for name, text in fields.items() if name != SPOOFING})
    if SPOOFING not in fields:
        return body
    if fields[SPOOFING] not in YES_NO:
        raise Invalid("--network", f"{SPOOFING}={fields[SPOOFING]}", f"{SPOOFING}=on or {SPOOFING}=off")
    return {**body, "anti_spoofing": YES_NO[fields[SPOOFING]]}


def disk_limits(text: str) -> dict[str, int]:
    """`iops=500,write-bytes=50MB` as the API has it; `none`: no limit. raises Invalid"""
    fields = {} if text == "none" else _fields(text, "limits", tuple(DISK_LIMITS), "iops")
    limits: dict[str, int] = disk_body(fields).get("limits", {})
    return limits


def nic_limits(text: str) -> dict[str, int]:
    """`mbit=100` or `in-mbit=100,out-mbit=50` as the API has it; `none`: no limit. raises Invalid"""
    fields = {} if text == "none" else _fields(text, "limits", NIC_LIMITS, "mbit")
    limits: dict[str, int] = nic_body(fields).get("limits", {})
    return limits


def disk_tuning(text: str) -> dict[str, Any]:
    """`bus=scsi,cache=none`: how disks are attached, without which. raises Invalid"""
    return disk_body(_fields(text, "disks", (*DISK_TUNING, *DISK_LIMITS), "bus")) if text else {}


def nic_tuning(text: str) -> dict[str, Any]:
    """`model=e1000e` or `queues=4`. raises Invalid"""
    return nic_body(_fields(text, "nics", NIC_TUNING, "model")) if text else {}


def cloud_init_of(
    user_data: str, meta_data: str, network_config: str, keys: Sequence[Path]
) -> dict[str, str]:
    """The files' texts. raises Invalid: a file that can't be read, or keys that have no place in them"""
    text = _text(user_data, "--user-data")
    return {
        "user_data": with_keys(text, [_key(path) for path in keys]) if keys else text,
        "meta_data": _text(meta_data, "--meta-data"),
        "network_config": _text(network_config, "--network-config"),
    }


def with_keys(user_data: str, keys: Sequence[str]) -> str:
    """User data that lets these SSH keys in as well. raises Invalid: a script, or no YAML"""
    import yaml

    if user_data and not user_data.startswith(CLOUD_CONFIG):
        raise Invalid(
            "--ssh-key", keys[0], "possible with user data that is no #cloud-config", hint="Put it in there."
        )
    try:
        config = yaml.safe_load(user_data) or {}
    except yaml.YAMLError as error:
        raise Invalid("--user-data", CLOUD_CONFIG, "YAML", hint=" ".join(str(error).split())) from None
    if not isinstance(config, dict):
        raise Invalid("--user-data", CLOUD_CONFIG, "a YAML mapping")
    config["ssh_authorized_keys"] = [*config.get("ssh_authorized_keys", ()), *keys]
    return f"{CLOUD_CONFIG}\n{yaml.safe_dump(config, sort_keys=False, allow_unicode=True)}"


def _fields(text: str, option: str, known: Sequence[str], bare: str) -> dict[str, str]:
    """`a=b,c=d`; a part without = is the field `bare`."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = bare, part
        if name not in known or not value:
            raise Invalid(
                f"--{option}", text, f"made of {', '.join(known)}", hint=f"Like {bare}=…,{known[1]}=…."
            )
        fields[name] = value
    return fields


def _text(path: str, option: str) -> str:
    if not path:
        return ""
    try:
        return sys.stdin.read() if path == "-" else Path(path).expanduser().read_text()
    except OSError as error:
        raise Invalid(option, path, "a file that can be read", hint=error.strerror or "") from None
    except UnicodeDecodeError:
        raise Invalid(option, path, "a text in UTF-8") from None


def _key(path: Path) -> str:
    text = _text(str(path), "--ssh-key").strip()
    if "PRIVATE KEY" in text:
        raise Invalid(
            "--ssh-key", path, "a public key", hint=f"This is the private one; did you mean {path}.pub?"
        )
    if len(text.split()) < 2 or "\n" in text:
        raise Invalid("--ssh-key", path, "a public key on one line", hint="Like ssh-ed25519 AAAA… name.")
    return text
