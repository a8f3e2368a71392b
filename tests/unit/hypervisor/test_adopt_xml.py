"""Domains of other origins: read, kept, edited, compared."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from corral.hypervisor.libvirt.canonical import differences, digest_of, equivalent
from corral.hypervisor.libvirt.editing import NotEditable, edited, marked, unmarked
from corral.hypervisor.libvirt.reading import Refused, owner_of, read_domain
from corral.hypervisor.libvirt.xmltree import Aside, Element, NotXML, Text, parse, split, text_of
from corral.hypervisor.simulated.foreign import foreign_report
from corral.model.units import GiB, MiB
from tools.adopt_check import check, check_file, wish_of

FOLDER = Path(__file__).parent / "domains"
NO_DOMAINS = {"no-domains.xml": 0, "refused.xml": 13}


def domain(name: str, number: int = 0) -> Element:
    """A hand-written domain in the manner of other tools."""
    pieces = [p.root for p in split((FOLDER / f"{name}.xml").read_text()) if p.root is not None]
    return pieces[number]


# ---- whole files


@pytest.mark.parametrize("name", sorted(p.name for p in FOLDER.glob("*.xml")))
def test_every_domain_comes_back_the_same(name: str) -> None:
    """Written back, marked and released, changed and changed back: nothing else differs."""
    found, _ = check_file(FOLDER / name, name)
    assert [line for d in found for line in d.wrong] == []
    if name in NO_DOMAINS:
        assert len(found) == NO_DOMAINS[name] and all(d.refused for d in found)
    else:
        assert found and not any(d.refused for d in found)


def test_a_refusal_names_element_and_reason() -> None:
    found, _ = check_file(FOLDER / "refused.xml", "refused.xml")
    said = {d.name: d.refused for d in found}
    assert said["box"].startswith("domain/@type: 'lxc'")
    assert said["xenner"].startswith("os/type: 'xen'")
    assert said["units"].startswith("memory: '5' pounds")
    assert "vm-01JABC" in said["ours"]
    assert "line 1, column" in found[-1].refused


def test_a_file_without_domains_says_what_it_is() -> None:
    found, what = check_file(FOLDER / "no-domains.xml", "no-domains.xml")
    assert not found
    assert what == "no XML, a network, a snapshot, with its copy of a domain, capabilities of a host"


def test_the_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    root = domain("ovirt-vdsm")

    def loses_one(base: Element, wish: object) -> Element:
        new = base.copy()
        new.remove(new.all("iothreads")[0])
        return new

    monkeypatch.setattr("tools.adopt_check.edited", loses_one)
    assert any("iothreads" in line for line in check(root))


# ---- reading


def test_openstack() -> None:
    model = read_domain(domain("openstack-nova"))
    assert (model.cpus, model.memory_bytes, model.machine) == (4, 8 * GiB, "pc-q35-rhel9.4.0")
    assert [(d.target, d.kept) for d in model.disks] == [
        ("vda", "on network, not on a file"), ("vdb", ""), ("sda", "a cdrom"),
    ]  # fmt: skip
    assert [(n.mac, n.kept) for n in model.nics] == [
        ("fa:16:3e:5a:00:01", "on a openvswitch switch"), ("fa:16:3e:5a:00:02", "of type ethernet"),
    ]  # fmt: skip
    assert {"cputune", "sysinfo", "seclabel", "resource", "devices/rng"} <= set(model.kept)


def test_windows() -> None:
    model = read_domain(domain("windows-secure-boot"))
    assert (model.name, model.uuid) == ("Win 11 (büro) ™", "9de1aa2f-4b0a-4a3d-9f3c-0f7c2e0a0011")
    assert (model.cpus, model.cpus_max, model.memory_bytes) == (4, 8, 8 * GiB)
    assert model.firmware == "uefi with Secure Boot"
    assert [d.path for d in model.disks if not d.kept] == ['/var/lib/libvirt/images/Win 11 "büro".qcow2']


def test_oddities() -> None:
    model = read_domain(domain("oddities"))
    assert (model.name, model.cpus, model.memory_bytes) == ("odd <one>", 1, 512 * MiB)
    assert [d.path for d in model.disks if not d.kept] == ["/srv/b&c/b.img", "/srv/a.img"]
    assert "shared between VMs" in [d.kept for d in model.disks]
    assert "q:commandline" in model.kept


# ---- editing

PLAIN = """<domain type='kvm'><name>a</name><uuid>1b000000-0000-4000-8000-0000000000a1</uuid>
<memory unit='GiB'>2</memory><currentMemory unit='GiB'>1</currentMemory><vcpu>4</vcpu>
<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='3' cpuset='2'/></cputune>
<os><type>hvm</type></os><cpu><topology sockets='1' cores='2' threads='2'/></cpu><devices/></domain>"""


def test_fewer_vcpus_lose_their_pins_and_fit_the_topology() -> None:
    base = parse(PLAIN)
    new = edited(base, wish_of(read_domain(base), cpus=3))
    assert [p.attributes["vcpu"] for p in new.all("cputune", "vcpupin")] == ["0"]
    assert new.all("cpu", "topology")[0].attributes == {"sockets": "1", "cores": "3", "threads": "1"}


def test_vcpus_within_the_maximum_are_hotpluggable_ones() -> None:
    base = domain("windows-secure-boot")
    new = edited(base, wish_of(read_domain(base), cpus=6))
    assert differences(base, new)[0] == "~ domain/vcpu/@current: 4 -> 6"
    assert read_domain(new).cpus_max == 8


def test_a_balloon_stays_where_it_was() -> None:
    base = parse(PLAIN)
    new = edited(base, wish_of(read_domain(base), memory_bytes=3 * GiB))
    assert differences(base, new) == (f"~ domain/memory: {2 * GiB} bytes -> {3 * GiB} bytes",)


def test_memory_that_its_own_xml_lays_out_can_not_be_changed() -> None:
    base = domain("arm-and-mainframe", 1)
    with pytest.raises(NotEditable, match="zvm"):
        edited(base, wish_of(read_domain(base), memory_bytes=3 * GiB))


def test_another_file_keeps_the_disks_place() -> None:
    base = domain("sriov-passthrough")
    wish = wish_of(read_domain(base))
    moved = replace(wish.disks[0], path="/corral/new.qcow2")
    new = edited(base, replace(wish, disks=(moved,)))
    old, now = "/var/lib/libvirt/images/vnf-1.qcow2", "/corral/new.qcow2"
    assert differences(base, new) == (f"~ domain/devices/disk[vda]/source/@file: {old} -> {now}",)


# ---- marks


def test_the_mark_comes_and_goes() -> None:
    for name in ("openstack-nova", "proxmox-like", "oddities"):
        base = domain(name)
        new = parse(text_of(marked(marked(base, wish_of(read_domain(base))), wish_of(read_domain(base)))))
        assert owner_of(new) and owner_of(base) == ""
        with pytest.raises(Refused, match="marked as"):
            read_domain(new)
        assert text_of(unmarked(new)) == text_of(base) or equivalent(unmarked(new), base)


# ---- comparing

ALIKE = [
    ("order of attributes and of unlike elements", "<d a='1' b='2'><x/><y/></d>", "<d b='2' a='1'>\n<y/> <x/></d>"),
    ("prefixes", "<d xmlns:q='urn:q'><q:x/></d>", "<d><z:x xmlns:z='urn:q'/></d>"),
    ("comments and CDATA", "<d><x>a&amp;b</x><!-- c --></d>", "<d><x><![CDATA[a&b]]></x></d>"),
    ("units", "<d><memory unit='GiB'>1</memory></d>", "<d><memory>1048576</memory></d>"),
    ("capitals", "<d><mac address='AA:BB'/><uuid>AB-C</uuid></d>", "<d><mac address='aa:bb'/><uuid>abc</uuid></d>"),
    ("sets", "<d><feature name='a'/><feature name='b'/></d>", "<d><feature name='b'/><feature name='a'/></d>"),
    ("hexadecimal", "<d><address slot='0x05'/></d>", "<d><address slot='5'/></d>"),
    ("an empty metadata", "<d><metadata/></d>", "<d/>"),
]  # fmt: skip
UNLIKE = [
    ("order of NICs", "<d><i n='1'/><i n='2'/></d>", "<d><i n='2'/><i n='1'/></d>"),
    ("a value", "<d><x>1</x></d>", "<d><x>2</x></d>"),
    ("an attribute more", "<d><x/></d>", "<d><x a=''/></d>"),
    ("a namespace", "<d xmlns:q='urn:q'><q:x/></d>", "<d><x/></d>"),
    ("order in metadata", "<d><metadata><m><x/><y/></m></metadata></d>", "<d><metadata><m><y/><x/></m></metadata></d>"),
    ("lines of a text", "<d><x>a\n b</x></d>", "<d><x>a\nb</x></d>"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [pytest.param(*r[1:], id=r[0]) for r in ALIKE])
def test_makes_no_difference(one: str, other: str) -> None:
    assert equivalent(parse(one), parse(other))
    assert digest_of(parse(one)) == digest_of(parse(other)) and differences(parse(one), parse(other)) == ()


@pytest.mark.parametrize(("one", "other"), [pytest.param(*r[1:], id=r[0]) for r in UNLIKE])
def test_makes_a_difference(one: str, other: str) -> None:
    assert not equivalent(parse(one), parse(other))
    assert digest_of(parse(one)) != digest_of(parse(other)) and differences(parse(one), parse(other))


def test_differences_read_well() -> None:
    base = domain("proxmox-like")
    new = base.copy()
    devices = new.all("devices")[0]
    devices.remove(devices.all("input")[0])
    devices.all("interface")[1].attributes["type"] = "network"
    new.all("vcpu")[0].set_text("3")
    assert differences(base, new) == (
        "- domain/devices/input: bus=usb type=tablet",
        "~ domain/devices/interface[bc:24:11:aa:bb:cd]/@type: bridge -> network",
        "~ domain/vcpu: 2 -> 3",
    )


# ---- trees of any shape

NAMES = st.sampled_from(["a", "b:c", "disk", "metadata", "feature", "memory", "_x.y-1"])
TEXTS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=8
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["name", "type", "q:x", "dev"]), TEXTS, max_size=3)
TREES = st.recursive(
    st.builds(Element, NAMES, ATTRIBUTES, st.lists(st.builds(Text, TEXTS), max_size=1)),
    lambda inner: st.builds(
        Element, NAMES, ATTRIBUTES, st.lists(inner | st.builds(Text, TEXTS) | st.just(Aside("<!--x-->")), max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(TREES)
def test_any_tree_is_read_as_it_was_written(tree: Element) -> None:
    once = parse(text_of(tree))
    assert equivalent(tree, once) and text_of(parse(text_of(once))) == text_of(once)
    assert differences(tree, once) == ()


@given(TREES, TREES)
def test_different_trees_differ_in_words_too(one: Element, other: Element) -> None:
    if one.tag == other.tag:
        assert bool(differences(one, other)) == (not equivalent(one, other))


# ---- what is no XML


@pytest.mark.parametrize(
    "text", ["", "web", "<a>", "<a></b>", "<a/><b/>", "<a b='1' b='2'/>", "<a>&nothing;</a>", "<x>" * 300 + "</x>" * 300]
)  # fmt: skip
def test_no_xml(text: str) -> None:
    with pytest.raises(NotXML):
        parse(text)


def test_no_file_is_opened_for_a_dtd(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    text = f'<!DOCTYPE d [<!ENTITY e SYSTEM "{secret}">]><d>&e;</d>'
    assert "secret" not in text_of(next(p.root for p in split(text) if p.root) or Element("none"))


def test_pieces_of_a_file() -> None:
    pieces = list(split("words\n<a/>\n<?xml version='1.0'?>\n<b>\n</b> tail\n<c>\n<d/>"))
    assert [p.root.tag if p.root else p.text.strip() for p in pieces] == [
        "words",
        "a",
        "b",
        "tail",
        "<c>",
        "d",
    ]
    assert [p.line for p in pieces] == [1, 2, 3, 5, 6, 7] and pieces[4].wrong


def test_simulated_domains_read_as_their_model() -> None:
    report = foreign_report(
        "web", "1b000000-0000-4000-8000-0000000000a1", paths=("/a",), macs=("52:54:00:00:00:01",)
    )
    assert report.model is not None
    sizes = tuple(replace(d, size_bytes=0) for d in report.model.disks)
    assert read_domain(parse(report.xml)) == replace(report.model, disks=sizes)
