"""Proto: the node link's protocol; link.proto, what is generated from it, and what both ends share."""

import os

# gRPC's core writes lines of its own to standard error when a peer goes away; ours say it, as one JSON object each.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
