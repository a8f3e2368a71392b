"""The test guest, booted for real."""

import re
import time
from pathlib import Path

import pytest

from corral.agent.seed import seed_files
from corral.lab import guest
from corral.model.ids import NetworkId, VmId
from corral.model.link import NicAssignment, VmAssignment, VmRole
from corral.model.vm import CloudInit
from corral.storage.seed import write_seed
from tests.lab.guests import Guest, a_disk

USER_DATA = """#cloud-config
ssh_authorized_keys:
  - ssh-ed25519 AAAA me@example.org
password: "se cret"
write_files:
  - path: /etc/motd
    permissions: '0640'
    content: |
      first line
        second line
runcmd:
  - echo "ran: $(hostname)" > /dev/console
  - [sh, -c, "echo \\"a, b\\" 'c' > /dev/console"]
  - count &
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guest.build(tmp_path_factory.mktemp("image") / "guest.qcow2")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return a_disk(tmp_path)


def vm(**cloud_init: str) -> VmAssignment:
    nic = NicAssignment(network=NetworkId("net-1"), bridge="br0", mac="52:54:00:00:00:0a")
    return VmAssignment(
        vm=VmId("vm-1"),
        name="web-1",
        role=VmRole.OWNER,
        generation=1,
        nics=(nic,),
        cloud_init=CloudInit(**cloud_init),
    )


def seed(tmp_path: Path, **cloud_init: str) -> str:
    return str(write_seed(tmp_path / "seeds", "vm-1", seed_files(vm(**cloud_init))))


async def test_seed_agent_console_and_power_button(tmp_path: Path, disk: Path) -> None:
    async with Guest(tmp_path, disk, seed=seed(tmp_path, user_data=USER_DATA), nic="user,id=n") as guest:
        assert await guest.ask_agent("guest-get-host-name") == {"host-name": "web-1"}
        await guest.says("corral-guest: up web-1 10.0.2.15")
        await guest.says("ran: web-1")
        await guest.says("a, b c")
        await guest.says("count 20 ")
        guest.type(
            "cat /etc/motd; stat -c 'mode %a' /etc/motd; cat /root/.ssh/authorized_keys; cut -c1-8 /etc/shadow"
        )
        for line in (
            "first line\r\n  second line",
            "mode 640",
            "ssh-ed25519 AAAA me@example.org",
            "root:$6$",
        ):
            await guest.says(line)
        await guest.press_power_button()
        assert await guest.ends() == 0
        assert "corral-guest: down (poweroff)" in guest.console
    counts = [(int(n), float(up)) for n, up in re.findall(r"^count (\d+) ([\d.]+)\r$", guest.console, re.M)]
    assert [n for n, _ in counts] == sorted(
        {n for n, _ in counts}
    )  # what was typed meanwhile spoils a line or two
    assert 0.08 < (counts[-1][1] - counts[0][1]) / (counts[-1][0] - counts[0][0]) < 0.25


async def test_without_seed_and_nic_it_is_up_and_the_agent_shuts_it_down(tmp_path: Path, disk: Path) -> None:
    async with Guest(tmp_path, disk) as guest:
        await guest.says("corral-guest: up corral-guest -")
        with pytest.raises(AssertionError, match="did not come"):
            await guest.says("corral-guest: down", within_s=0.1)
        shut_down = guest.ask_agent("guest-shutdown", within_s=15.0)  # answers nothing when it works
        with pytest.raises((TimeoutError, ValueError)):
            await shut_down
        assert await guest.ends() == 0


async def test_static_address(tmp_path: Path, disk: Path) -> None:
    config = "version: 2\nethernets:\n  nic0:\n    match: {macaddress: '52:54:00:00:00:0A'}\n    addresses: [10.0.2.99/24]\n"
    async with Guest(tmp_path, disk, seed=seed(tmp_path, network_config=config), nic="user,id=n") as guest:
        await guest.says("corral-guest: up web-1 10.0.2.99")


def test_it_is_built_again_only_when_inputs_changed(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = image.stat().st_mtime_ns
    began = time.perf_counter()
    guest.build(image)
    assert image.stat().st_mtime_ns == before
    assert time.perf_counter() - began < 3
    again = guest.build(tmp_path / "again.qcow2")
    assert again.read_bytes() == image.read_bytes(), "the same inputs give the same image"
    monkeypatch.setattr("corral.lab.guest.disk.SYSLINUX", guest_config() + "# changed\n")
    guest.build(image)
    assert image.stat().st_mtime_ns > before
    assert sorted(p.name for p in image.parent.iterdir()) == ["guest.qcow2", "guest.qcow2.inputs"]


def guest_config() -> str:
    from corral.lab.guest.disk import SYSLINUX

    return SYSLINUX


@pytest.mark.parametrize(
    ("name", "missing", "hint"),
    [
        ("corral.lab.guest.contents.PROGRAMS", {"bin/busybox": ("/nowhere/busybox", "busybox-static")}, "busybox-static"),
        ("corral.lab.guest.disk.BOOT_CODE", "/nowhere/mbr.bin", "syslinux-common"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, missing: object, hint: str
) -> None:
    monkeypatch.setattr(name, missing)
    with pytest.raises(guest.GuestImageFailed, match="/nowhere/") as refusal:
        guest.build(tmp_path / "guest.qcow2")
    assert hint in refusal.value.hint
    assert not (tmp_path / "guest.qcow2").exists()
