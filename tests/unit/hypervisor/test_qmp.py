"""QMP: how QEMU names the file of a disk."""

import pytest

from corral.hypervisor.libvirt.qmp import path_of

NAMES = [  # name, what QEMU says, path
    ("a plain one", "/pool/a.qcow2", "/pool/a.qcow2"),
    (
        "over a backing file",
        'json:{"driver": "qcow2", "backing": {"file": {"filename": "/pool/img"}},'
        ' "file": {"driver": "file", "filename": "/pool/a.qcow2"}}',
        "/pool/a.qcow2",
    ),
    (
        "under a filter",
        'json:{"driver": "throttle", "file": {"driver": "qcow2", "file": {"filename": "/pool/a.qcow2"}}}',
        "/pool/a.qcow2",
    ),
    ("no file at all", 'json:{"driver": "null-co"}', ""),
]


@pytest.mark.parametrize(("said", "path"), [pytest.param(*row[1:], id=row[0]) for row in NAMES])
def test_path(said: str, path: str) -> None:
    assert path_of(said) == path
