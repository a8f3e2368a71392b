"""Health, figures, description, documentation, serving and logs."""

import asyncio
import json
import logging
import re
import ssl
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client.parser import text_string_to_metric_families

from corral.errors import CorralError
from corral.model.token import Role
from corral.server import log as logs
from corral.server.http import app, metrics
from corral.server.http.app import build
from corral.server.http.serve import serve
from tests.unit.http.world import Core, World, a_node, a_vm


async def test_health_and_readiness(world: World) -> None:
    async with world.client(None) as client:
        assert (await client.get("/healthz")).json()["status"] == "ok"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        world.core.broken = True
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["store"]) == (503, False)
        world.core.broken, world.core.ready = False, False
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["mirror"]) == (503, False)
        assert (await client.get("/healthz")).status_code == 200


async def test_figures(world: World) -> None:
    await world.core.add(a_node(1), a_node(2, name='od"d'), a_vm(1), a_vm(2))
    world.core.hub.nodes = {"node-0001": {"cpu_share": 0.25}, "node-0002": {"cpu_share": 1.0}}
    world.core.hub.vms = {"vm-000001": {"memory_bytes": 2.5e8, "cpu_share": float("nan")}}
    async with world.client(Role.VIEWER) as client:
        await client.get("/api/v1/vms")
        await client.get("/api/v1/vms/none")
        answer = await client.get("/metrics")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}

    def value(family: str, **labels: str) -> float:
        (sample,) = [
            s
            for s in families[family].samples
            if s.labels.items() >= labels.items() and "_created" not in s.name
        ]
        return sample.value

    assert value("corral_http_requests", route="/api/v1/vms", method="GET", status="200") == 1
    assert value("corral_http_requests", route="/api/v1/vms/{vm}", status="404") == 1
    assert value("corral_mirror_revision") == world.core.mirror.revision
    assert value("corral_resources", kind="VM") == 2
    assert value("corral_nodes", phase="ready") == 2
    assert value("corral_linked_nodes") == 2
    assert value("corral_node_cpu_share", node="node1") == 0.25
    assert value("corral_node_cpu_share", node='od"d') == 1.0
    assert value("corral_vm_memory_bytes", vm="web-1") == 2.5e8
    assert not any(s.labels.get("vm") == "web-2" for s in families["corral_vm_memory_bytes"].samples)


async def test_figures_of_a_large_fleet_come_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "AT_ONCE", 3)
    await world.core.add(*(a_vm(n) for n in range(10)))
    world.core.hub.vms = {f"vm-{n:06}": {"cpu_share": float(n)} for n in range(10)}
    pieces = [piece async for piece in world.api.api.metrics.text()]
    assert max(piece.count(b"corral_vm_cpu_share{") for piece in pieces) == 3
    assert sum(piece.count(b"corral_vm_cpu_share{") for piece in pieces) == 10


async def test_live_figures_of_one(world: World) -> None:
    await world.core.add(a_node(1), a_vm(1))
    world.core.hub.nodes = {"node-0001": {"load1": 3.0}}
    async with world.client(Role.VIEWER) as client:
        assert (await client.get("/api/v1/nodes/node1/facts")).json()["figures"] == {"load1": 3.0}
        assert (await client.get("/api/v1/vms/web-1/facts")).json()["figures"] == {}


async def test_unknown_paths_do_not_grow_the_figures(world: World) -> None:
    async with world.client() as client:
        for number in range(5):
            await client.get(f"/nothing/{number}")
            await client.get(f"/api/v1/vms/none-{number}")
        text = (await client.get("/metrics")).text
    assert len(re.findall(r"^corral_http_requests_total\{", text, re.MULTILINE)) == 2


async def test_the_description_is_whole(world: World) -> None:
    async with world.client(None) as client:
        document = (await client.get("/api/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    operations = [o for verbs in document["paths"].values() for o in verbs.values()]
    assert len({o["operationId"] for o in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"], operation
        assert operation["tags"] == [operation["tags"][0]]
        assert any(code.startswith(("1", "2")) for code in operation["responses"])
        if "security" not in operation:
            assert {"401", "403"} <= set(operation["responses"]), operation["operationId"]
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert wanted <= set(document["components"]["schemas"])
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path)), path
    create = document["paths"]["/api/v1/vms"]["post"]
    assert create["requestBody"]["content"]["application/json"]["examples"]
    assert "429" not in create["responses"]
    assert {"400", "401", "403", "404", "409", "413"} <= set(create["responses"])


async def test_the_documentation_needs_no_other_place(world: World) -> None:
    async with world.client(None) as client:
        page = await client.get("/api/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        links = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        assert {"/api/docs/docs.css", "/api/docs/docs.js"} <= set(links)
        for link in links:
            if link.startswith("data:"):
                continue
            asset = await client.get(link)
            assert asset.status_code == 200, link
            assert not re.search(
                r"https?://(?!corral\.dev)", asset.text if link.endswith(("js", "css")) else ""
            )
        assert not re.search(r"https?://", page.text)


async def test_a_new_noun_is_one_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file in routes/ is found, guarded and described without touching anything else."""
    (tmp_path / "zebras.py").write_text(
        '"""Routes of zebras."""\n'
        "from litestar import get\n"
        "from corral.server.http.about import about\n"
        "from corral.server.http.answers import Answer\n"
        '@get("/zebras", **about("Zebras"))\n'
        "async def zebras() -> Answer:\n"
        '    """List zebras."""\n'
        '    return Answer(200, b"[]")\n'
        "ROUTES = [zebras]\n"
    )
    monkeypatch.setattr(app.routes, "__path__", [*app.routes.__path__, str(tmp_path)])
    api = build(Core())
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://corral") as client:
        assert (await client.get("/api/v1/zebras")).status_code == 401
        assert "/api/v1/zebras" in (await client.get("/api/v1/openapi.json")).json()["paths"]
    api.close()
    sys.modules.pop("corral.server.http.routes.zebras")


async def test_serving_an_address_that_is_taken(world: World, url: str) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(CorralError) as error:
        await serve(build(world.core), "127.0.0.1", port)
    assert error.value.code == "server.address_taken"
    assert str(port) in error.value.message


async def test_stopping_lets_requests_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def slow() -> None:
        begun.set()
        await asyncio.sleep(0.3)

    monkeypatch.setattr(world.core, "read_barrier", slow)
    task = asyncio.create_task(
        serve(
            world.api, "127.0.0.1", 0, listening=lambda host, port: ready.set_result(f"http://{host}:{port}")
        )
    )
    url = await asyncio.wait_for(ready, 10)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {world.tokens[Role.VIEWER]}"}) as client:
        request = asyncio.create_task(client.get(f"{url}/api/v1/vms?consistent=true"))
        await begun.wait()
        task.cancel()
        assert (await request).status_code == 200
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/healthz")


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


async def test_serving_with_tls(world: World, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(
            world.api,
            "127.0.0.1",
            0,
            certificate=certificate,
            key=key,
            listening=lambda _, port: ready.set_result(port),
        )
    )
    port = await asyncio.wait_for(ready, 10)
    trust = ssl.create_default_context(cafile=str(certificate))
    async with httpx.AsyncClient(verify=trust) as client:
        assert (await client.get(f"https://127.0.0.1:{port}/healthz")).status_code == 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "corral.x", "levelname": "INFO", "msg": message})
    vars(made).update(extra)
    return made


def test_log_lines_are_json_whatever_is_in_them() -> None:
    reset = logs.REQUEST_ID.set("r-1")
    try:
        formatter = logs.JsonFormatter()
        odd = {"path": Path("/x"), "text": "a\nb", "number": 1, "set": {1}}
        line = formatter.format(record("said %s", **odd))
        assert "\n" not in line
        fields = json.loads(line)
        assert (fields["message"], fields["path"], fields["request_id"]) == ("said %s", "/x", "r-1")
        assert json.loads(formatter.format(record("x", bad="\udcff")))["message"] == "'x'"
        try:
            raise ValueError("why")
        except ValueError:
            failed = record("failed", exc_info=sys.exc_info())
        assert "ValueError: why" in json.loads(formatter.format(failed))["error"]
        assert "ValueError: why" in logs.TextFormatter().format(failed)
        assert "text=a" in logs.TextFormatter().format(record("hello", text="a"))
    finally:
        logs.REQUEST_ID.reset(reset)
