"""Cloud-init data: what would be ignored or stumbled over is refused, with field and line; the rest passes."""

from typing import Any

import pytest

from corral.errors import Invalid
from corral.model.vm import CloudInit
from corral.server.services.cloudinit import check_cloud_init

CONFIG = "#cloud-config\n"
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("nothing", {}),
    ("an empty config", {"user_data": CONFIG}),
    ("a config", {"user_data": CONFIG + "packages: [nginx]\nruncmd:\n- [echo, hi]\nusers: default\n"}),
    ("a config with Windows line ends", {"user_data": "#cloud-config\r\nhostname: web\r\n"}),
    ("a key of a module that is not known here", {"user_data": CONFIG + "my_own_module: {a: 1}\n"}),
    ("a script", {"user_data": "#!/bin/sh\necho: [not yaml\n"}),
    ("a template, which is no YAML yet", {"user_data": "## template: jinja\n#cloud-config\n{{ x }}: [\n"}),
    ("many parts", {"user_data": 'Content-Type: multipart/mixed; boundary="x"\n\n--x--\n'}),
    ("meta data", {"meta_data": "instance-id: i-1\nlocal-hostname: web\n"}),
    ("a network", {"network_config": "version: 2\nethernets: {}\n"}),
    ("a network in a wrapper", {"network_config": "network: {version: 1, config: []}\n"}),
]
BAD: list[tuple[str, dict[str, Any], str, str]] = [  # name, data, field, words in message or hint
    ("no first line", {"user_data": "hostname: web\n"}, "cloud_init.user_data", "#cloud-config in front"),
    ("a typo", {"user_data": CONFIG + "pakages: [nginx]\n"}, "cloud_init.user_data", "Did you mean packages"),
    ("no list", {"user_data": CONFIG + "runcmd: echo hi\n"}, "cloud_init.user_data: runcmd", "a list"),
    ("a number for a name", {"user_data": CONFIG + "hostname: 12\n"}, "cloud_init.user_data: hostname", "quotation"),
    ("broken YAML", {"user_data": CONFIG + "a: 1\nb: [1, 2\nc: 3\n"}, "cloud_init.user_data", "line 4"),
    ("a tab", {"user_data": CONFIG + "a:\n\tb: 1\n"}, "cloud_init.user_data", "line 3"),
    ("a list for a config", {"user_data": CONFIG + "- a\n"}, "cloud_init.user_data", "keys and values"),
    ("a file without a path", {"user_data": CONFIG + "write_files: [{content: x}]\n"}, "cloud_init.user_data: write_files[0]", "path"),
    ("too long", {"user_data": "#" * 300_000}, "cloud_init.user_data", "256 KiB"),
    ("meta data that is a word", {"meta_data": "web"}, "cloud_init.meta_data", "keys and values"),
    ("a network without version", {"network_config": "ethernets: {}\n"}, "cloud_init.network_config", "version: 2"),
    ("a YAML tag that makes objects", {"meta_data": "a: !!python/object:os.system {}\n"}, "cloud_init.meta_data", "YAML"),
]  # fmt: skip


@pytest.mark.parametrize("data", [pytest.param(r[1], id=r[0]) for r in GOOD])
def test_good(data: dict[str, Any]) -> None:
    check_cloud_init(CloudInit(**data))


@pytest.mark.parametrize(("data", "field", "words"), [pytest.param(*r[1:], id=r[0]) for r in BAD])
def test_bad(data: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_cloud_init(CloudInit(**data))
    assert caught.value.context["field"] == field
    assert words in f"{caught.value.message} {caught.value.hint}"
