"""The server program as a process: first start, one server a directory, signals, TLS, crashes."""

import asyncio
import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.agent import identity
from corral.agent.grpc_link import GrpcLink
from corral.agent.identity import Identity
from corral.agent.ports import LinkDown
from corral.files import DataDirBusy
from corral.model.link import Hello, Welcome
from corral.server.config import ServerConfig
from corral.server.grpc_link import AddressTaken
from corral.server.main import init, run, serving
from corral.server.pki import CaBroken
from corral.server.services.asking import Asking

PROGRAM = """
import sys
from pathlib import Path
from corral.server.config import ServerConfig
from corral.server.main import main
main(ServerConfig(data_dir=Path(sys.argv[1]), http=sys.argv[2], link="127.0.0.1:0", join="127.0.0.1:0"))
"""


@pytest.fixture(autouse=True)
def cli_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cli" / "config.json"
    monkeypatch.setenv("CORRAL_CONFIG", str(path))
    return path


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(
        data_dir=tmp_path / "server",
        http="127.0.0.1:0",
        link="127.0.0.1:0",
        join="127.0.0.1:0",
        stop_timeout_s=1,
    )


class Program:
    """A server process."""

    def __init__(self, data_dir: Path, http: str = "127.0.0.1:0") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(data_dir), http],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, str]] = []

    def serving(self) -> str:
        """Waits until it serves; where."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["message"] == "serving":
                return self.lines[-1]["http"]
        raise AssertionError(f"it ended: {self.lines}")

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=10)
        return self.process.returncode, out


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path / "server")
    yield program
    if program.process.poll() is None:
        program.process.kill()
    program.process.communicate()


def get(url: str, token: str = "", context: ssl.SSLContext | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_init_shows_the_token_once(config: ServerConfig, cli_config: Path) -> None:
    token = init(config)
    assert token.startswith("corral_tok-")
    assert init(config) == ""
    assert stat.S_IMODE(cli_config.stat().st_mode) == 0o600
    written = json.loads(cli_config.read_text())
    assert written["contexts"][written["current"]]["token"] == token
    assert stat.S_IMODE(config.data_dir.stat().st_mode) == 0o700


def test_init_keeps_other_contexts(config: ServerConfig, cli_config: Path) -> None:
    cli_config.parent.mkdir()
    cli_config.write_text('{"current": "far", "contexts": {"far": {"url": "https://far:1", "token": "t"}}}')
    init(config)
    assert set(json.loads(cli_config.read_text())["contexts"]) == {"far", "local"}


def test_init_leaves_what_is_no_config_alone(config: ServerConfig, cli_config: Path) -> None:
    cli_config.parent.mkdir()
    cli_config.write_text("not ours")
    assert init(config)
    assert cli_config.read_text() == "not ours"


async def test_a_first_start_that_was_killed(config: ServerConfig) -> None:
    """The token was committed and never shown: it is revoked, and another one is made."""
    async with serving(config) as server:
        unseen = server.admin_token
    (config.data_dir / "initialised").unlink()
    async with serving(config) as server:
        url = f"http://{server.http[0]}:{server.http[1]}/api/v1/nodes"
        assert await asyncio.to_thread(get, url, server.admin_token) == 200
        assert await asyncio.to_thread(get, url, unseen) == 401


def test_a_process_from_start_to_signal(program: Program, tmp_path: Path) -> None:
    url = f"http://{program.serving()}"
    token = json.loads((tmp_path / "cli/config.json").read_text())["contexts"]["local"]["token"]
    assert get(f"{url}/healthz") == 200
    assert get(f"{url}/api/v1/nodes") == 401
    assert get(f"{url}/api/v1/nodes", token) == 200
    began = time.monotonic()
    code, out = program.stop()
    assert (code, time.monotonic() - began < 5) == (0, True)
    assert out.count(token) == 1, "shown once"
    again = Program(tmp_path / "server")
    url = f"http://{again.serving()}"
    assert get(f"{url}/api/v1/nodes", token) == 200
    assert token not in again.stop()[1]


async def test_one_server_a_directory(config: ServerConfig) -> None:
    async with serving(config):
        with pytest.raises(DataDirBusy) as caught:
            async with serving(config):
                pass
    assert str(os.getpid()) in caught.value.message
    async with serving(config):
        pass  # the lock is free again


def test_a_killed_server_leaves_no_lock(program: Program, config: ServerConfig) -> None:
    program.serving()
    program.process.kill()
    program.process.wait()
    assert init(config) == ""


@pytest.mark.parametrize("port", ["http", "link", "join"])
async def test_an_address_that_is_taken(config: ServerConfig, port: str, tmp_path: Path) -> None:
    holder = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{holder.sockets[0].getsockname()[1]}"
    document = {"http": config.http, "link": config.link, "join": config.join, port: address}
    with pytest.raises(AddressTaken) as caught:
        await run(ServerConfig(data_dir=config.data_dir, **document))
    assert address.split(":")[1] in caught.value.message
    holder.close()
    async with serving(config):
        pass  # what had begun was undone


async def test_a_ca_that_is_lost(config: ServerConfig) -> None:
    async with serving(config):
        pass
    (config.data_dir / "ca").rename(config.data_dir / "elsewhere")
    with pytest.raises(CaBroken):
        await run(config)


async def test_tls_unless_on_loopback(config: ServerConfig, cli_config: Path) -> None:
    outside = ServerConfig(data_dir=config.data_dir, http="0.0.0.0:0", link=config.link, join=config.join)
    async with serving(outside) as server:
        context = ssl.create_default_context(cafile=str(config.data_dir / "ca/ca.pem"))
        for name in ("127.0.0.1", "localhost"):
            url = f"https://{name}:{server.http[1]}/healthz"
            assert await asyncio.to_thread(get, url, "", context) == 200
        with pytest.raises(OSError):
            await asyncio.to_thread(get, f"http://127.0.0.1:{server.http[1]}/healthz")
    written = json.loads(cli_config.read_text())["contexts"]["local"]
    assert written["ca"] == str(config.data_dir / "ca/ca.pem")
    assert written["url"].startswith("https://")


async def test_a_node_joins_and_outlives_a_restart(config: ServerConfig, tmp_path: Path) -> None:
    async with serving(config) as server:
        _, token = await server.core.join_tokens.mint(60, Asking())
        await identity.join(tmp_path / "node", token, name="node-1")
        link = GrpcLink(Identity(tmp_path / "node"))
        stream = await link.dial()
        await stream.send(Hello(node=link.identity.node, agent_version="1"))
        assert isinstance(await stream.receive(), Welcome)
        port = server.link_port
    with pytest.raises(LinkDown):
        while True:
            await stream.receive()
    same = ServerConfig(
        data_dir=config.data_dir, http=config.http, link=f"127.0.0.1:{port}", join=config.join
    )
    async with serving(same):
        again = await link.dial()
        await again.send(Hello(node=link.identity.node, agent_version="1"))
        assert isinstance(await again.receive(), Welcome)
        await again.close()


async def test_a_part_that_breaks_ends_the_server(config: ServerConfig) -> None:
    """Then systemd starts it anew; half a server would look alive and do nothing."""
    async with serving(config) as server:
        server.core.tasks[0].cancel()
        with pytest.raises(Exception):  # noqa: B017
            await asyncio.wait_for(server.failure(), 5)
