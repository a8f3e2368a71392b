"""Configuration of the server: everything that an operator can set, with its default."""

from pathlib import Path

from msgspec import Struct

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


class ServerConfig(Struct, frozen=True, kw_only=True):
    """Flags of `corral server`, or CORRAL_* in the environment."""

    data_dir: Path = Path("/var/lib/corral/server")
    http: str = "127.0.0.1:8440"  # REST; with TLS unless this is a loopback address
    link: str = "0.0.0.0:8441"  # agents' streams, mutual TLS
    join: str = "0.0.0.0:8442"  # where new nodes get their first certificate, TLS
    names: tuple[str, ...] = ()  # host names and addresses under which others reach this server
    image_networks: tuple[str, ...] = ()  # private networks from which images may be imported by URL
    origins: tuple[str, ...] = ()  # of web pages that may open consoles, besides the server's own
    image_keep_s: float = (
        7 * DAY_S
    )  # how long pools keep copies of images that no volume stands on; 0: for ever
    trash_s: float = 7 * DAY_S  # how long deleted volumes can be had back; 0: not at all
    certificate_life_s: float = 30 * DAY_S  # of nodes; they renew at two thirds of it
    context: str = "local"  # name of the CLI context that the first start writes; empty: none
    stop_timeout_s: float = 5.0  # how long requests may take to end at shutdown
