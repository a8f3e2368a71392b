"""Channel: settings that both ends of the node link share, and addresses as people write them."""

from typing import Final

from corral.errors import Invalid

SERVER_NAME: Final = (
    "corral-server"  # in the certificate of each server: what agents check, whatever its address
)
SESSION_KEY: Final = "corral-session"  # metadata of Console: OpenConsole.session
READY_KEY: Final = "corral-ready"  # initial metadata of Connect: the server has admitted the node
CHUNK_BYTES: Final = 256 * 1024  # of images
CONSOLE_BYTES: Final = 64 * 1024  # of consoles: a few of these wait at each hop of each session
CONSOLE_ROOM: Final = 8  # pieces that wait at the agent, each way
MESSAGE_BYTES_MAX: Final = 64 * 1024**2  # a first report or assignment of a large node is a few MB

# A peer that vanished (power, cable) is noticed after PING + TIMEOUT at the latest, without any traffic of ours.
PING_MS: Final = 5_000
TIMEOUT_MS: Final = 5_000

OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", PING_MS),
    ("grpc.keepalive_timeout_ms", TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
SERVER_OPTIONS: Final = (
    *OPTIONS,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_MS // 2),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_MS // 2),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a surprise
)
CLIENT_OPTIONS: Final = (
    *OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # a channel of its own certificate must not share connections
    ("grpc.enable_retries", 0),  # the agent's own loop dials again
)


def split_address(address: str, field: str = "address") -> tuple[str, int]:
    """Host and port of HOST:PORT, [IPV6]:PORT or :PORT. raises Invalid"""
    host, colon, port = address.rpartition(":")
    if (
        not colon
        or not port.isascii()
        or not port.isdigit()
        or int(port) > 65535
        or (":" in host and host[0] != "[")
    ):
        raise Invalid(field, address, "HOST:PORT", hint="Write an IPv6 address in brackets: [fd00::1]:8441.")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
