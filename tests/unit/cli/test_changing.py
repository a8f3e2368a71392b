"""Commands that change something: what they ask for, how they wait, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from corral.cli.parts.asking import disks_of, nics_of, with_keys
from corral.cli.parts.exits import MEANING, Exit, exit_code
from corral.client.errors import told
from corral.errors import ERRORS, Invalid
from corral.model.operation import OperationState
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi, event, problem
from tests.unit.client.samples import FAILED, IMAGE, SUCCEEDED, a_vm, an_operation

KEY = "ssh-ed25519 AAAAC3Nza me@home"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id.pub"
    path.write_text(KEY + "\n")
    return path


def test_vm_create_asks_for_all_of_it(api: FakeApi, corral: Corral, key: Path, tmp_path: Path) -> None:
    user_data = tmp_path / "user-data"
    user_data.write_text("#cloud-config\npackages: [nginx]\n")
    api.on("POST", "/vms", SUCCEEDED)
    line = "vm create web --image debian --memory 512MiB --cpus 2 --disk 4GiB --pool shared --network default,address=10.0.0.9"
    done = corral(
        *line.split(),
        "--ssh-key",
        str(key),
        "--user-data",
        str(user_data),
        "--label",
        "a=b",
        "--stop-timeout",
        "2m",
    )
    assert (done.code, done.out) == (0, "VM web: create succeeded in 3.2 s\n")
    body = api.seen[0].json
    assert body.pop("cloud_init") == {
        "user_data": f"#cloud-config\npackages:\n- nginx\nssh_authorized_keys:\n- {KEY}\n",
        "meta_data": "",
        "network_config": "",
    }
    assert body == {
        "name": "web",
        "labels": {"a": "b"},
        "cpus": 2,
        "memory": "512MiB",
        "disks": [{"image": "debian", "size": "4GiB", "pool": "shared"}],
        "nics": [{"network": "default", "address": "10.0.0.9"}],
        "running": True,
        "protected": False,
        "stop_timeout_s": 120.0,
        "policy": "",
        "node": "",
    }


def test_bodies_are_what_the_api_takes(api: FakeApi, corral: Corral) -> None:
    """Every body that a command sends decodes as the server would decode it, unknown fields refused."""
    from corral.server.services import requests

    for path in ("/vms", "/volumes", "/pools", "/networks", "/profiles"):
        api.on("POST", path, SUCCEEDED)
    api.on("PATCH", "/vms/web", SUCCEEDED)
    api.on("PATCH", "/nodes/node1", SUCCEEDED)
    api.add(a_vm("web"))
    lines = {
        "vm create web --image debian --disk 4GiB --disk 1GiB --disk volume=old --network default": requests.CreateVM,
        "vm create win --guest windows --image win --disk 64GiB,bus=scsi,cache=none,iothread=yes,iops=500,bytes=50MB "
        "--network lan,model=e1000e,in-mbit=10 --secure-boot --tpm --cpu-model host --nested --cpus 4 --cpus-max 8 "
        "--topology sockets=1,cores=4,threads=2 --memory-max 8GiB --pin 2 --pin 4-5 --pin-emulator 0 --numa-cells 0 "
        "--hugepages 2MiB --graphics spice --video qxl --watchdog reset --machine pc-q35-7.2 "
        "--device pci=0000:3b:00.0 --device usb=046d:c52b --device gpu:2 --device vf:lan": requests.CreateVM,
        "profile create db --cpus 8 --memory 32GiB --hugepages 1GiB --disks scsi,io=io_uring --nics queues=4,mbit=100 "
        "--summary x --no-tpm --restart always": requests.CreateProfile,
        "volume create data --size 1GiB --pool shared --label a=b": requests.CreateVolume,
        "volume create data --image debian": requests.CreateVolume,
        "pool create shared --path /srv/x --shared --node node1": requests.CreatePool,
        "network create default --bridge br0 --subnet 10.0.0.0/24 --dns 10.0.0.1": requests.CreateNetwork,
        "network create bare --bridge br0": requests.CreateNetwork,
        "vm set web --policy pack --group a --group b": requests.UpdateVM,
        "vm set web --no-groups": requests.UpdateVM,
        "vm set web --label a=b --protected --restart always --stop-timeout 5": requests.UpdateVM,
        "node set node1 --cpu-overcommit 2 --reserve-memory 1GiB": requests.UpdateNode,
        "node cordon node1": requests.UpdateNode,
    }
    for line, kind in lines.items():
        api.seen.clear()
        assert corral(*line.split()).code == 0, line
        msgspec.json.decode(api.seen[-1].body, type=kind)


def test_hardware_is_said_in_the_apis_words(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", SUCCEEDED)
    line = (
        "vm create web --disk 1GiB,bus=scsi,iothread=yes,discard=no,read-iops=5,bytes=2MB --network lan,queues=4,mbit=10 "
        "--topology cores=2,threads=2 --pin 2 --pin 4-5 --device pci=10de:2204 --secure-boot --no-tpm --cpus-max 4"
    )
    assert corral(*line.split()).code == 0
    body = api.seen[0].json
    assert body["disks"] == [
        {
            "size": "1GiB",
            "bus": "scsi",
            "iothread": True,
            "discard": False,
            "limits": {"read_iops": 5, "bytes_s": 2_000_000},
        }
    ]
    assert body["nics"] == [{"network": "lan", "queues": 4, "limits": {"in_mbit": 10, "out_mbit": 10}}]
    assert body["hardware"] == {
        "firmware": "uefi-secure",
        "tpm": False,
        "cpus_max": 4,
        "topology": {"cores": 2, "threads": 2},
        "pinning": {"vcpus": ["2", "4-5"]},
        "devices": [{"kind": "pci", "id": "10de:2204"}],
    }


DEVICES = [  # as it is said, as the API has it
    ("gpu", {"kind": "gpu"}),
    ("gpu:2", {"kind": "gpu", "count": 2}),
    ("gpu:H100:2", {"kind": "gpu", "model": "H100", "count": 2}),
    ("gpu:10de:2331:1", {"kind": "gpu", "model": "10de:2331", "count": 1}),
    ("nvme:1", {"kind": "nvme", "count": 1}),
    ("vf:lan", {"kind": "vf", "network": "lan"}),
    ("mdev:nvidia-63", {"kind": "mdev", "id": "nvidia-63"}),
    ("mdev:nvidia-63:2", {"kind": "mdev", "id": "nvidia-63", "count": 2}),
    ("pci=0000:3b:00.0", {"kind": "pci", "id": "0000:3b:00.0"}),
    ("usb=046d:c52b", {"kind": "usb", "id": "046d:c52b"}),
]


@pytest.mark.parametrize(("said", "body"), DEVICES)
def test_devices_are_said_in_a_word(said: str, body: dict[str, object], api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", SUCCEEDED)
    assert corral("vm", "create", "web", "--device", said).code == 0
    assert api.seen[0].json["hardware"] == {"devices": [body]}


MISSAID = [  # name, options, what the message names
    ("unknown tuning", "--disk 1GiB,speed=high", "--disk"),
    ("neither yes nor no", "--disk 1GiB,iothread=maybe", "iothread"),
    ("no number", "--disk 1GiB,iops=many", "iops"),
    ("no topology", "--topology 2x2", "--topology"),
    ("no device", "--device tpu", "--device"),
    ("a device by half a class", "--device gpu:", "--device"),
    ("two GPUs by an equals sign", "--device gpu=2", "--device"),
    ("two firmwares", "--secure-boot --firmware bios", "--firmware"),
    ("queues of no number", "--network lan,queues=x", "queues"),
]


@pytest.mark.parametrize(("options", "named"), [pytest.param(*row[1:], id=row[0]) for row in MISSAID])
def test_what_is_missaid_is_named(api: FakeApi, corral: Corral, options: str, named: str) -> None:
    done = corral("vm", "create", "web", *options.split())
    assert done.code == 2 and named in done.err and not api.seen


def test_a_profile_is_changed_where_it_is_said(api: FakeApi, corral: Corral) -> None:
    """What is not given stays, also inside of hardware."""
    from corral.model.hardware import Firmware
    from corral.model.profile import HardwareChoice, VMProfile, VMProfileSpec

    chosen = HardwareChoice(firmware=Firmware.UEFI, nested=True)
    api.add(VMProfile(id="profile-1", name="db", spec=VMProfileSpec(cpus=2, memory="1GiB", hardware=chosen)))
    api.on("PATCH", "/profiles/db", SUCCEEDED)
    assert corral(*["profile", "set", "db", "--memory", "4GiB", "--no-nested"]).code == 0
    assert api.seen[-1].json == {
        "spec": {"cpus": 2, "memory": "4GiB", "hardware": {"firmware": "uefi", "nested": False}}
    }


def test_presets_are_profiles_that_need_no_server(api: FakeApi, corral: Corral) -> None:
    done = corral("profile", "show", "windows")
    assert done.code == 0 and "firmware uefi-secure" in done.out and not api.seen
    assert corral("profile", "list", "-o", "name").out.split() == ["linux", "windows"]


def test_warnings_are_told(api: FakeApi, corral: Corral) -> None:
    warned = SUCCEEDED.having(spec=msgspec.structs.replace(SUCCEEDED.spec, warnings=("it costs",)))
    api.on("POST", "/vms", warned)
    assert "warning: it costs\n" in corral("vm", "create", "web").err


DISKS = [  # name, image, pool, texts, disks
    ("nothing: no disk", "", "", [], []),
    ("an image alone: as large as it is", "debian", "", [], [{"image": "debian"}]),
    ("image and size", "debian", "", ["4GiB"], [{"image": "debian", "size": "4GiB"}]),
    ("further disks are empty", "debian", "", ["4GiB", "1GiB"], [{"image": "debian", "size": "4GiB"}, {"size": "1GiB"}]),
    ("the pool is for all without their own", "d", "p", ["1GiB", "2GiB,pool=q"],
     [{"image": "d", "size": "1GiB", "pool": "p"}, {"size": "2GiB", "pool": "q"}]),
    ("an existing volume has no pool to choose", "", "p", ["volume=old"], [{"volume": "old"}]),
    ("an image of its own", "", "", ["image=x,size=1GiB"], [{"image": "x", "size": "1GiB"}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "pool", "texts", "disks"), [pytest.param(*row[1:], id=row[0]) for row in DISKS]
)
def test_disks(image: str, pool: str, texts: list[str], disks: list[dict[str, str]]) -> None:
    assert disks_of(image, pool, texts) == disks


@pytest.mark.parametrize("texts", [["colour=red"], ["volume="], ["volume=a"]])
def test_disks_that_are_none(texts: list[str]) -> None:
    with pytest.raises(Invalid):
        disks_of("debian", "", texts)


def test_nics() -> None:
    assert nics_of(["a", "b,mac=52:54:00:00:00:01"]) == [
        {"network": "a"},
        {"network": "b", "mac": "52:54:00:00:00:01"},
    ]


USER_DATA = [
    ("none: made", "", f"#cloud-config\nssh_authorized_keys:\n- {KEY}\n"),
    (
        "others are kept",
        "#cloud-config\nssh_authorized_keys: [x]\n",
        f"#cloud-config\nssh_authorized_keys:\n- x\n- {KEY}\n",
    ),
]


@pytest.mark.parametrize(("text", "result"), [pytest.param(*row[1:], id=row[0]) for row in USER_DATA])
def test_keys_in_user_data(text: str, result: str) -> None:
    assert with_keys(text, [KEY]) == result


@pytest.mark.parametrize("text", ["#!/bin/sh\n", "#cloud-config\n- a\n", "#cloud-config\n{"])
def test_user_data_that_takes_no_keys(text: str) -> None:
    with pytest.raises(Invalid):
        with_keys(text, [KEY])


def test_a_private_key_is_not_sent(api: FakeApi, corral: Corral, tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    done = corral("vm", "create", "web", "--ssh-key", str(path))
    assert done.code == Exit.USAGE
    assert f"{path}.pub" in done.err
    assert not api.seen


def test_wait_shows_steps_and_the_end(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", an_operation())
    placing = an_operation(steps=("placing",), revision=51, waiting_for="room")
    starting = an_operation(steps=("placing", "starting"), progress=0.5, revision=52)
    api.says("operations", [event("put", o) for o in (placing, placing, starting, SUCCEEDED)])
    done = corral("vm", "create", "web", "--wait")
    assert done.err.splitlines() == ["web: placing: room", "web: starting"]
    assert done.out == "VM web: create succeeded in 3.2 s\n"


def test_without_a_terminal_it_does_not_wait(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", an_operation())
    done = corral("vm", "create", "web")
    assert (done.code, done.out) == (0, "VM web: create has begun as op-1\n")
    assert len(api.seen) == 1


def test_on_a_terminal_it_waits(api: FakeApi, corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda self: True)
    monkeypatch.setattr(sys.stderr.__class__, "isatty", lambda self: True)
    api.on("POST", "/vms", an_operation())
    api.says(
        "operations",
        [event("put", an_operation(steps=("starting",), progress=0.5, revision=51)), event("put", SUCCEEDED)],
    )
    assert "succeeded" in corral("vm", "create", "web").out
    assert "begun" in corral("vm", "create", "web", "--no-wait").out


def test_names_and_documents_of_operations(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms/a/start", SUCCEEDED)
    api.on("POST", "/vms/b/start", SUCCEEDED)
    assert corral("vm", "start", "a", "b", "-o", "name").out == "op-1\nop-1\n"
    assert '"kind": "Operation"' in corral("vm", "start", "a", "-o", "json").out


def test_timeout_says_how_to_go_on(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", an_operation())
    api.says("operations", *([": still here\n\n"] for _ in range(100)))
    done = corral("vm", "create", "web", "--wait", "--timeout", "0.3s")
    assert done.code == Exit.TIMEOUT
    assert "corral operation wait op-1" in done.err


def test_dry_run(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", SUCCEEDED)
    done = corral("vm", "create", "web", "--dry-run", "--wait")
    assert api.seen[0].query["dry_run"] == ["true"]
    assert "nothing was changed" in done.out


def test_labels_are_set_on_what_was_read(api: FakeApi, corral: Corral) -> None:
    api.add(a_vm("web", labels={"a": "1", "b": "2"}))
    api.on("PATCH", "/vms/web", SUCCEEDED)
    assert corral("vm", "set", "web", "-l", "a-", "-l", "c=3").code == 0
    assert api.seen[1].json == {"labels": {"b": "2", "c": "3"}}
    assert api.seen[1].headers["if-match"] == '"42"'


def test_set_of_nothing(corral: Corral) -> None:
    assert corral("vm", "set", "web").code == Exit.USAGE


DESTRUCTIVE = ["vm delete web", "node remove node1", "image delete debian", "volume delete v", "pool delete p",
               "network delete n", "token delete t"]  # fmt: skip


@pytest.mark.parametrize("line", DESTRUCTIVE)
def test_destruction_wants_a_yes(api: FakeApi, corral: Corral, line: str) -> None:
    done = corral(*line.split())
    assert done.code == Exit.USAGE
    assert "--yes" in done.err
    assert not api.seen


def test_destruction_asks_on_a_terminal(
    api: FakeApi, corral: Corral, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("DELETE", "/vms/web", SUCCEEDED)
    answers = iter(["n\n", "y\n"])

    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self, *_: Any) -> str:
            return next(answers)

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda *_: next(answers).strip())
    assert corral("vm", "delete", "web").code == 1
    assert not api.seen
    assert corral("vm", "delete", "web").code == 0
    assert api.seen


FAILURES = [  # name, status, code, exit code
    ("bad value", 400, "request.invalid", Exit.USAGE),
    ("no token", 401, "auth.unauthenticated", Exit.NOT_ALLOWED),
    ("no right", 403, "auth.forbidden", Exit.NOT_ALLOWED),
    ("not there", 404, "resource.not_found", Exit.NOT_FOUND),
    ("protected", 409, "vm.protected", Exit.CONFLICT),
    ("somebody was faster", 412, "resource.precondition_failed", Exit.CONFLICT),
    ("a code of a newer server", 409, "vm.on_fire", Exit.CONFLICT),
    ("a mistake in the server", 500, "internal", Exit.BUG),
]


@pytest.mark.parametrize(("status", "code", "exit"), [pytest.param(*row[1:], id=row[0]) for row in FAILURES])
def test_exit_codes(api: FakeApi, corral: Corral, status: int, code: str, exit: Exit) -> None:
    api.replies["POST", "/api/v1/vms/web/start"] = lambda _: problem(status, code, "It is so.", "Do that.")
    done = corral("vm", "start", "web")
    assert done.code == exit
    assert done.out == ""
    assert done.err.splitlines()[:2] == [f"error: It is so. [{code}]", "hint: Do that."]
    assert ("req-7" in done.err) is (status == 500)


def test_no_server(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_URL", "http://127.0.0.1:1")
    done = corral("vm", "list")
    assert done.code == Exit.UNAVAILABLE
    assert "http://127.0.0.1:1" in done.err
    assert "Traceback" not in done.err


def test_a_mistake_of_ours_shows_no_stack_trace(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.client.client.Client.of_context", lambda _: 1 / 0)
    done = corral("vm", "list")
    assert done.code == Exit.BUG
    assert "Traceback" not in done.err
    assert "CORRAL_DEBUG=1" in done.err


def test_an_operation_that_fails_fails_the_command(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", an_operation())
    api.says("operations", [event("put", FAILED)])
    done = corral("vm", "create", "web", "--wait", "-o", "json")
    assert done.code == Exit.CONFLICT
    assert '"state": "failed"' in done.out
    assert "create of VM web failed: no node has 8 GiB free [placement.no_room]" in done.err
    assert "hint: Stop a VM." in done.err


def test_operation_wait_and_cancel(api: FakeApi, corral: Corral) -> None:
    cancelled = an_operation(OperationState.CANCELLED, revision=70)
    api.add(cancelled)
    assert corral("operation", "wait", "op-1").code == Exit.CANCELLED
    api.on("POST", "/operations/op-1/cancel", SUCCEEDED)
    done = corral("operation", "cancel", "op-1", "--wait")
    assert (done.code, done.out) == (0, "VM web: create cancelled in 3.2 s\n")


def test_every_code_has_an_exit_code_that_is_explained() -> None:
    import corral.model  # noqa: F401

    for kind in ERRORS.values():
        assert exit_code(kind) in MEANING
        assert exit_code(kind) is not Exit.OK


def test_a_code_that_is_unknown_here_goes_by_its_status() -> None:
    assert exit_code(told("a.b", "m", "", 404, {})) is Exit.NOT_FOUND
    assert exit_code(told("a.b", "m", "", 418, {})) is Exit.FAILED


def test_ctrl_c_while_waiting_leaves_and_says_how_to_go_on(
    api: FakeApi, corral: Corral, tmp_path: Path
) -> None:
    api.on("POST", "/vms", an_operation())
    api.says(
        "operations", *([event("put", an_operation(steps=("starting",), revision=51))] for _ in range(1000))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "corral.cli.main", "vm", "create", "web", "--wait"],
        env=dict(os.environ),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "web: starting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "corral operation wait op-1" in err
    assert "corral operation cancel op-1" in err
    assert "Traceback" not in err
    assert out == ""


def test_a_reader_that_leaves_early_is_no_error(api: FakeApi, corral: Corral) -> None:
    api.add(*(a_vm(f"vm{n}") for n in range(2000)))
    script = f"{sys.executable} -m corral.cli.main vm list -o json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)


def test_image_import(api: FakeApi, corral: Corral, tmp_path: Path) -> None:
    file = tmp_path / "Debian_12.qcow2"
    file.write_bytes(b"QFI\xfb" * 1000)
    api.add(IMAGE.having(name="debian-12"))
    api.on("POST", "/images", SUCCEEDED)
    api.on("PUT", "/images/debian-12/content", SUCCEEDED)
    done = corral("image", "import", str(file))
    assert done.code == 0, done.err
    assert done.out == "Image debian-12: ready (qcow2, 300 MiB, 2 GiB for a guest)\n"


def test_secrets_are_shown_once_and_alone_on_stdout(api: FakeApi, corral: Corral) -> None:
    token = {"kind": "Token", "id": "tok-2", "name": "ci", "spec": {"role": "operator"}}
    join = {"kind": "JoinToken", "id": "join-1", "name": "join-1", "spec": {"sha256": "", "expires_at": 1.0}}
    import json

    api.replies["POST", "/api/v1/tokens"] = lambda _: (
        201,
        json.dumps({"resource": token, "secret": "s3"}).encode(),
    )
    api.replies["POST", "/api/v1/nodes/join-tokens"] = lambda _: (
        201,
        json.dumps({"resource": join, "secret": "h:1/s/f"}).encode(),
    )
    made = corral("token", "create", "ci", "--role", "operator", "--ttl", "30d")
    assert made.out == "s3\n"
    assert api.seen[0].json == {"name": "ci", "role": "operator", "ttl_s": 30 * 86400.0}
    ticket = corral("node", "join-token", "--ttl", "10m")
    assert ticket.out == "h:1/s/f\n"
    assert "corral agent join h:1/s/f" in ticket.err
    assert api.seen[1].json == {"ttl_s": 600.0}


def test_contexts(corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORRAL_URL")
    monkeypatch.delenv("CORRAL_TOKEN")
    assert corral("context", "add", "home", "--url", "http://h:1", "--token", "secret-1").code == 0
    assert corral("context", "add", "work", "--url", "https://w:2/", "--token", "secret-2").code == 0
    assert corral("context", "list", "-o", "name").out == "home\nwork\n"
    assert corral("context", "use", "work").code == 0
    listed = corral("context", "list").out
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["home", "*"]
    shown = corral("context", "show", "-o", "json").out
    assert '"url": "https://w:2"' in shown
    assert "secret" not in listed + shown
    assert corral("--context", "home", "context", "show", "-o", "name").out == "home\n"
    assert corral("context", "use", "nowhere").code == Exit.NOT_FOUND
    assert corral("context", "add", "bad", "--url", "h:1").code == Exit.USAGE
    assert corral("context", "remove", "work").code == 0
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600


SUBNETS = [  # name, options, first, last
    ("the server says which", "--subnet 10.0.0.0/24", "", ""),
    ("a range", "--subnet 10.0.0.0/24 --range 10.0.0.10-10.0.0.20", "10.0.0.10", "10.0.0.20"),
]


@pytest.mark.parametrize(("options", "first", "last"), [pytest.param(*row[1:], id=row[0]) for row in SUBNETS])
def test_subnets(api: FakeApi, corral: Corral, options: str, first: str, last: str) -> None:
    api.on("POST", "/networks", SUCCEEDED)
    assert corral("network", "create", "n", "--bridge", "br0", *options.split()).code == 0
    assert (api.seen[0].json["subnet"]["first"], api.seen[0].json["subnet"]["last"]) == (first, last)


@pytest.mark.parametrize(
    "options", ["--subnet 10.0.0.1/24", "--subnet x", "--dns 1.1.1.1", "--subnet 10.0.0.0/24 --range 5"]
)
def test_subnets_that_are_none(api: FakeApi, corral: Corral, options: str) -> None:
    assert corral("network", "create", "n", "--bridge", "br0", *options.split()).code == Exit.USAGE
    assert not api.seen


def test_server_and_agent_are_called_with_their_flags(
    corral: Corral, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []
    monkeypatch.setattr("corral.server.main.main", called.append)
    monkeypatch.setattr("corral.agent.main.main", called.append)
    monkeypatch.setattr("corral.server.main.init", lambda config: called.append(config) or "secret")
    monkeypatch.setenv("CORRAL_LINK", "0.0.0.0:9")
    assert corral("server", "run", "--http", "127.0.0.1:1", "--name", "a", "--name", "b").code == 0
    assert corral("server", "init", "--data-dir", "/x").out == "secret\n"
    assert corral("agent", "run", "--libvirt", "test:///default", "--server", "h:1").code == 0
    run, init, agent = called
    assert (run.http, run.link, run.names) == ("127.0.0.1:1", "0.0.0.0:9", ("a", "b"))
    assert init.data_dir == Path("/x")
    assert (agent.libvirt_uri, agent.servers) == ("test:///default", ("h:1",))


def test_defaults_of_flags_are_those_of_the_programs(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line repeats them, so as not to import the programs for help."""
    from corral.agent.config import AgentConfig
    from corral.server.config import ServerConfig

    called: list[Any] = []
    monkeypatch.setattr("corral.server.main.main", called.append)
    monkeypatch.setattr("corral.agent.main.main", called.append)
    assert corral("server", "run").code == 0
    assert corral("agent", "run").code == 0
    assert called == [ServerConfig(), AgentConfig()]


def test_time_to_wait_is_not_spent_polling(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms", an_operation())
    api.says("operations", [": still here\n\n", event("put", SUCCEEDED)])
    started = time.monotonic()
    corral("vm", "create", "web", "--wait")
    assert len(api.seen) == 2, "more than the request and one stream"
    assert time.monotonic() - started < 5
