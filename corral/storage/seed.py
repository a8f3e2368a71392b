"""Seeds: the small disc from which a guest's first boot takes its data (cloud-init's NoCloud).

In this room   making one, as a file that is only ever whole
Comes in       user-data, meta-data and network-config, as texts by name
Goes out       the path of the disc; the same on each node that runs the VM
Always true    the same content is the same bytes, and is not written again
Next door      iso.py builds the bytes; the agent says what stands in the files
Start here     write_seed()
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral.storage import iso
from corral.storage.files import replace_durably

VOLUME_ID: Final = "cidata"  # by this name cloud-init finds it


def seed_path(directory: Path, vm: str) -> Path:
    return directory / f"{vm}.iso"


def write_seed(directory: Path, vm: str, files: Mapping[str, str]) -> Path:
    """Make the disc if it is not there with this very content. Blocks. raises OSError"""
    path = seed_path(directory, vm)
    disc = iso.build(VOLUME_ID, {name: text.encode() for name, text in files.items()})
    with suppress(FileNotFoundError):
        if path.read_bytes() == disc:
            return path
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    replace_durably(path, disc, mode=0o600)  # passwords may stand in it; libvirt gives it to QEMU's user
    return path
