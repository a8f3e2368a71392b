"""Makes link_pb2.py, link_pb2.pyi and link_pb2_grpc.py from link.proto: `python -m corral.proto.generate`."""

import sys
from pathlib import Path


def main() -> int:
    from grpc_tools import protoc  # a development dependency

    root = Path(__file__).parents[2]
    out = [f"--{kind}={root}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    return int(protoc.main(["protoc", f"-I{root}", *out, str(root / "corral/proto/link.proto")]))


if __name__ == "__main__":
    sys.exit(main())
