"""What is generated from link.proto is what is checked in."""

from pathlib import Path

import pytest

from corral.proto.generate import ROOT, generate


def test_generated_code_is_current(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    assert generate(tmp_path) == 0
    for made in sorted((tmp_path / "corral/proto").iterdir()):
        checked_in = ROOT / "corral/proto" / made.name
        assert checked_in.read_text() == made.read_text(), "run: python -m corral.proto.generate"
