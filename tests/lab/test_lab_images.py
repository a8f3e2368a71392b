"""Images and volumes on a whole lab: a URL that breaks off, another format, a disk that moves below a guest that writes."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from corral.model.units import MiB
from tests.lab.test_lab_life import shell
from tests.lab.world import IMAGE, World


@contextmanager
def served(path: Path, *, breaks_at: int) -> Iterator[tuple[str, list[str]]]:
    """The file at a URL; the first answer breaks off. With the ranges that were asked for."""
    asked: list[str] = []
    content = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Range", ""))
            start = int(asked[-1].removeprefix("bytes=").partition("-")[0]) if asked[-1] else 0
            self.send_response(206 if start else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[start : breaks_at if len(asked) == 1 else None])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/guest.vmdk", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_vmdk_from_a_url_that_breaks_off_boots(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "guest.vmdk"
    words = ["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run([*words, world.lab.plan.guest_image, disk], check=True)
    with served(disk, breaks_at=MiB) as (url, asked):
        world.wait(world.client.images.create(name="far:1", url=url))
    assert asked == ["", f"bytes={MiB}-"]
    image = world.client.images.get("far:1")
    assert (image.status.converted_from, image.status.format) == ("vmdk", "qcow2")
    world.wait(
        world.client.vms.create(
            name="far",
            memory="128MiB",
            disks=[{"image": "far", "pool": "shared"}],
            nics=[{"network": "default"}],
        )
    )
    assert world.guest_up("far").status.guest.hostname == "far"
    world.remove("far")
    world.wait(world.client.images.delete("far:1"))


WRITE = "i=0; while [ ! -e /stop ]; do echo $i | dd of=/dev/vdb bs=512 seek=$i conv=notrunc,sync,fsync 2>/dev/null; i=$((i+1)); done; echo wrote-$i-records"
READ = "echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vdb bs=512 count={n} 2>/dev/null | tr -d '\\0' | md5sum; echo that-was-$((40+2))"


def test_disks_move_below_a_guest_that_writes(world: World) -> None:
    """The data disk first, then the root disk with its image: not a record is lost, and the guest never stops."""
    world.wait(world.client.volumes.create(name="data", size="64MiB", pool="shared"))
    disks = [{"image": IMAGE, "pool": "shared"}, {"volume": "data"}]
    world.wait(
        world.client.vms.create(name="mover", memory="128MiB", disks=disks, nics=[{"network": "default"}])
    )
    world.guest_up("mover")
    node, data, root = (
        world.node_of("mover"),
        world.client.volumes.get("data"),
        world.client.volumes.get("mover-0"),
    )
    pid = world.qemu_pid(node, "mover")
    shell(world, "mover", f"({WRITE}) & sleep 1; echo begun-$((40+2))", until="begun-42")
    for volume in (data, root):
        world.wait(world.client.volumes.move(volume.name, "local"))
        there = [file for file in world.volume_files(node) if file.startswith(volume.id)]
        assert there == [f"{volume.id}.qcow2"], "one file, and nothing beside it"
    heard = shell(world, "mover", "touch /stop; wait", until="-records")
    count = int(heard.rpartition("wrote-")[2].partition("-")[0])
    assert count > 20
    wanted = md5("".join(f"{n}\n" for n in range(count)).encode()).hexdigest()
    assert wanted in shell(world, "mover", READ.format(n=count), until="that-was-42")
    assert world.qemu_pid(node, "mover") == pid
    for words in (("domblklist", "mover"), ("domblklist", "mover", "--inactive")):
        blocks = world.virsh(node, *words)
        assert blocks.count("/local/volumes/") == 2, blocks
    world.remove("mover")
    world.wait(world.client.volumes.delete("data", purge=True))


def test_deleted_volume_comes_back_with_its_data(world: World) -> None:
    node = world.nodes[0]
    world.wait(world.client.volumes.create(name="data", size="64MiB", pool="local", node=node))
    volume = world.client.volumes.get("data")
    assert volume.status.report
    path = volume.status.report.path
    world.lab.run(node, "qemu-io", "-f", "qcow2", "-c", "write -P 90 1M 4k", path)
    world.wait(world.client.volumes.delete("data"))
    assert world.client.volumes.find("data") is None
    world.wait(world.client.volumes.restore(volume.id))
    said = world.lab.run(node, "qemu-io", "-f", "qcow2", "-r", "-c", "read -P 90 1M 4k", path)
    assert "read 4096/4096" in said and "failed" not in said
    world.wait(world.client.volumes.delete("data", wipe=True))
    assert volume.id not in " ".join(world.volume_files(node))
