"""Makes link_pb2.py, link_pb2.pyi and link_pb2_grpc.py from link.proto: `python -m corral.proto.generate`."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def generate(into: Path = ROOT) -> int:
    """Write corral/proto/link_pb2* below `into`; 0 when it went well."""
    from grpc_tools import protoc  # a development dependency

    out = [f"--{kind}={into}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    return int(protoc.main(["protoc", f"-I{ROOT}", *out, str(ROOT / "corral/proto/link.proto")]))


if __name__ == "__main__":
    sys.exit(generate())
