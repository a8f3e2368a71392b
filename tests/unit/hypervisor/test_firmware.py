"""Which firmware a host has, by its descriptors."""

import json
from pathlib import Path

import pytest

from corral.hypervisor.libvirt.firmware import ENROLLED, find_firmware
from corral.hypervisor.libvirt.host_profile import FirmwareFiles

USR, ETC = "usr/share/qemu/firmware", "etc/qemu/firmware"


def put(
    root: Path, name: str, *features: str, folder: str = USR, machine: str = "pc-q35-*", **mapping: object
) -> None:
    """A descriptor, and the files that it names: CODE-name and VARS-name."""
    stem = name.removesuffix(".json")
    for kind in ("CODE", "VARS"):
        (root / f"{kind}-{stem}").write_bytes(b"")
    document = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": f"/CODE-{stem}", "format": "raw"},
            "nvram-template": {"filename": f"/VARS-{stem}", "format": "raw"},
            **mapping,
        },
        "targets": [{"architecture": "x86_64", "machines": [machine]}],
        "features": list(features),
    }
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_text(json.dumps(document))


def found(root: Path) -> tuple[str, str]:
    """Names of the code files for UEFI and for Secure Boot."""
    return tuple(
        f.code.removeprefix("/CODE-") if f else "" for f in find_firmware(root, "x86_64", "pc-q35-7.2")
    )  # type: ignore[return-value]


def test_first_by_name_that_fits(tmp_path: Path) -> None:
    put(tmp_path, "60-plain.json", "acpi-s3")
    put(tmp_path, "70-later.json")
    put(tmp_path, "40-enrolled.json", *ENROLLED)
    put(tmp_path, "30-empty-keys.json", "secure-boot", "requires-smm")
    assert found(tmp_path) == ("60-plain", "40-enrolled")
    assert find_firmware(tmp_path, "x86_64", "pc-q35-7.2")[0] == FirmwareFiles(
        "/CODE-60-plain", "/VARS-60-plain"
    )


def test_etc_hides_usr(tmp_path: Path) -> None:
    put(tmp_path, "40-x.json", *ENROLLED)
    put(tmp_path, "40-x.json", folder=ETC)
    assert found(tmp_path) == ("40-x", "")


REFUSED = [  # name, what is odd about the descriptor
    ("another machine", {"machine": "pc-i440fx-*"}),
    ("one file for code and variables", {"mode": "stateless"}),
    ("memory, not flash", {"device": "memory"}),
    ("qcow2", {"nvram-template": {"filename": "/VARS-50-odd", "format": "qcow2"}}),
    ("file is missing", {"executable": {"filename": "/nowhere", "format": "raw"}}),
]


@pytest.mark.parametrize("odd", [pytest.param(o, id=name) for name, o in REFUSED])
def test_what_does_not_fit_is_left_out(tmp_path: Path, odd: dict[str, object]) -> None:
    put(tmp_path, "50-odd.json", **odd)  # type: ignore[arg-type]
    assert found(tmp_path) == ("", "")


@pytest.mark.parametrize("text", ["", "[]", '{"mapping": 3}', "\x00"])
def test_broken_descriptors_are_left_out(tmp_path: Path, text: str) -> None:
    put(tmp_path, "60-good.json")
    (tmp_path / USR / "10-broken.json").write_text(text)
    assert found(tmp_path) == ("60-good", "")


def test_nothing_there(tmp_path: Path) -> None:
    assert find_firmware(tmp_path, "x86_64", "pc-q35-7.2") == (None, None)
