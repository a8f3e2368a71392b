"""Canonical: whether two domains say the same, and where they differ.

In this room   pure functions on trees: equivalent(), digest_of(), differences()
Comes in       domain XML as trees (xmltree.py)
Goes out       yes or no; a short digest; the differences in words that people read
Always true    what libvirt does not look at makes no difference: order of attributes, of unlike elements, of disks
               with a target; prefixes, comments, white space between elements; units; capitals of MAC and UUID.
               Everything else does: NICs, boot devices and QEMU arguments keep their order.
Next door      editing.py changes domains, definitions.py watches them
Start here     equivalent()
source         https://libvirt.org/formatdomain.html and the schemas' <interleave> blocks
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from corral.hypervisor.libvirt.xmltree import Element, Prefixes, Text, prefixes_in, resolved
from corral.model.units import KiB

UNITS: Final = {
    "b": 1, "bytes": 1, "KB": 1000, "k": KiB, "KiB": KiB, "MB": 1000**2, "M": KiB**2, "MiB": KiB**2,
    "GB": 1000**3, "G": KiB**3, "GiB": KiB**3, "TB": 1000**4, "T": KiB**4, "TiB": KiB**4,
    "PB": 1000**5, "P": KiB**5, "PiB": KiB**5, "EB": 1000**6, "E": KiB**6, "EiB": KiB**6,
}  # fmt: skip
_UNITS_LOWER: Final = {name.lower(): size for name, size in UNITS.items()}
IN_BYTES: Final = frozenset(
    {
        "memory", "currentMemory", "maxMemory", "hard_limit", "soft_limit", "swap_hard_limit",
        "min_guarantee", "size", "requested", "block", "current", "tseg",
    }
)  # fmt: skip
IN_ORDER_OF: Final[Mapping[str, tuple[str, ...]]] = {  # set-like elements, by what tells them apart
    "disk": ("target/dev",),
    "controller": ("type", "index"),
    "feature": ("name",),
    "timer": ("name",),
    "vcpupin": ("vcpu",),
    "iothreadpin": ("iothread",),
    "iothread": ("id",),
    "vcpusched": ("vcpus", "scheduler"),
    "vcpu": ("id",),
    "memnode": ("cellid",),
    "cell": ("id",),
    "sibling": ("id",),
    "entry": ("name", "file"),
    "seclabel": ("model", "type"),
    "page": ("nodeset", "size"),
    "env": ("name",),
}
NUMBERS: Final = frozenset({"domain", "bus", "slot", "function", "controller", "target", "unit", "cssid", "ssid",
                            "devno", "port", "reg", "iobase", "irq", "base"})  # fmt: skip


class Node(Struct, frozen=True):
    """An element as it counts: nothing in it that makes no difference."""

    name: str  # with its namespace
    attributes: tuple[tuple[str, str], ...]
    text: str
    children: tuple["Node", ...]

    def get(self, path: str) -> str:
        """An attribute: `index`, or `target/dev` of the first child of that name; "": not there."""
        tag, slash, attribute = path.rpartition("/")
        if not slash:
            return dict(self.attributes).get(attribute, "")
        child = next((c for c in self.children if c.name == tag), None)
        return child.get(attribute) if child else ""

    def key(self) -> str:
        """What tells it from other elements of its name; "": nothing does."""
        parts = [self.get(path) for path in IN_ORDER_OF.get(self.name.rpartition("}")[2], ())]
        return " ".join(parts) if all(parts) else ""


EMPTY: Final = (Node("metadata", (), "", ()), Node("devices", (), "", ()))  # say nothing


def canonical(root: Element) -> Node:
    return _node(root, {}, in_metadata=False)


def equivalent(one: Element, other: Element) -> bool:
    """Whether libvirt would make the same domain of both."""
    return canonical(one) == canonical(other)


def digest_of(root: Element) -> str:
    """64 bits that are equal for equivalent domains."""
    return blake2b(repr(_plain(canonical(root))).encode(), digest_size=8).hexdigest()


def bytes_of(text: str, unit: str = "KiB") -> int:
    """A size with libvirt's units. raises ValueError: no number, or no unit of libvirt's"""
    if unit in UNITS:
        return int(text) * UNITS[unit]
    if unit.lower() in _UNITS_LOWER:
        return int(text) * _UNITS_LOWER[unit.lower()]
    raise ValueError(f"{unit!r} is no unit")


# ---- what counts


def _node(element: Element, outer: Prefixes, *, in_metadata: bool) -> Node:
    prefixes = prefixes_in(element, outer)
    name = resolved(element.tag, prefixes)
    own = {
        resolved(key, prefixes, attribute=True): value
        for key, value in element.attributes.items()
        if key != "xmlns" and not key.startswith("xmlns:")
    }
    inside = in_metadata or name == "metadata"
    children = tuple(
        node
        for child in element.elements
        if (node := _node(child, prefixes, in_metadata=inside)) not in EMPTY
    )
    text = _text(element, bool(children))
    if in_metadata:  # whose it is, its owner knows: order and all
        return Node(name, tuple(sorted(own.items())), text, children)
    attributes, text = _normal(name, own, text)
    return Node(name, tuple(sorted(attributes.items())), text, _in_order(children))


def _text(element: Element, has_children: bool) -> str:
    """Without what only lays it out."""
    text = "".join(c.value for c in element.children if isinstance(c, Text))
    return "" if has_children and not text.strip() else text.strip() if "\n" not in text.strip() else text


def _normal(name: str, attributes: dict[str, str], text: str) -> tuple[dict[str, str], str]:
    """Values that are written in several ways, in one."""
    if name in IN_BYTES and text:
        unit = attributes.get("unit", "KiB")
        try:
            return {k: v for k, v in attributes.items() if k != "unit"}, f"{bytes_of(text, unit)} bytes"
        except ValueError:
            return attributes, text
    if name == "cell" and "memory" in attributes:
        return _cell(attributes), text
    if name == "uuid":
        return attributes, text.replace("-", "").lower()
    if name == "mac" and "address" in attributes:
        return {**attributes, "address": attributes["address"].lower()}, text
    if name == "address":
        return {k: _number(v) if k in NUMBERS else v for k, v in attributes.items()}, text
    return attributes, text


def _cell(attributes: dict[str, str]) -> dict[str, str]:
    """A NUMA cell says its memory in an attribute, in any unit."""
    try:
        size = bytes_of(attributes["memory"], attributes.get("unit", "KiB"))
    except ValueError:
        return attributes
    return {k: v for k, v in attributes.items() if k != "unit"} | {"memory": f"{size} bytes"}


def _number(value: str) -> str:
    """0x05 and 5 are one number to libvirt."""
    try:
        return str(int(value, 16) if value.lower().startswith("0x") else int(value))
    except ValueError:
        return value


def _in_order(children: Sequence[Node]) -> tuple[Node, ...]:
    """Unlike elements by name; like ones as they stand, unless they are a set."""
    by_name: dict[str, list[Node]] = {}
    for child in children:
        by_name.setdefault(child.name, []).append(child)
    found: list[Node] = []
    for _, same in sorted(by_name.items()):
        keys = [node.key() for node in same]
        is_set = all(keys) and len(set(keys)) == len(keys)
        found += sorted(same, key=Node.key) if is_set else same
    return tuple(found)


def _plain(node: Node) -> tuple[object, ...]:
    return (node.name, node.attributes, node.text, tuple(_plain(child) for child in node.children))


# ---- differences, for people


def differences(old: Element, new: Element) -> tuple[str, ...]:
    """Each difference on a line: `~ path: was -> is`, `- path` what is gone, `+ path` what came. None: ()"""
    return tuple(_compare(canonical(old), canonical(new), ""))


def _compare(old: Node, new: Node, path: str) -> Iterator[str]:
    here = f"{path}/{_label(new)}" if path else _short(new.name)
    was, now = dict(old.attributes), dict(new.attributes)
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            yield _changed(f"{here}/@{name}", was.get(name), now.get(name))
    if old.text != new.text:
        yield _changed(here, old.text or None, new.text or None)
    inside = tuple(_compare_children(old, new, here))
    yield from inside
    if not inside and old.children != new.children:
        yield f"~ {here}: the order of its elements"


def _compare_children(old: Node, new: Node, here: str) -> Iterator[str]:
    for one, other in _pairs(old.children, new.children):
        if one is None and other is not None:
            yield f"+ {here}/{_label(other)}{_summary(other)}"
        elif other is None and one is not None:
            yield f"- {here}/{_label(one)}{_summary(one)}"
        elif one is not None and other is not None and one != other:
            yield from _compare(one, other, here)


def _changed(path: str, was: str | None, now: str | None) -> str:
    if was is None:
        return f"+ {path}: {now}"
    return f"- {path}: {was}" if now is None else f"~ {path}: {was} -> {now}"


def _pairs(old: Sequence[Node], new: Sequence[Node]) -> Iterator[tuple[Node | None, Node | None]]:
    """Which element became which: by what names it, then equal ones, then in order."""
    names = sorted({node.name for node in (*old, *new)})
    for name in names:
        left, right = [n for n in old if n.name == name], [n for n in new if n.name == name]
        for same in (_telling, lambda node: repr(_plain(node)), lambda node: ""):
            yield from _matched(left, right, same)
        yield from ((one, None) for one in left)
        yield from ((None, other) for other in right)


def _matched(
    left: list[Node], right: list[Node], word: Callable[[Node], str | None]
) -> Iterator[tuple[Node, Node]]:
    """Pairs with the same word, taken out of both lists. None: has no such word."""
    for one in list(left):
        mine = word(one)
        other = None if mine is None else next((n for n in right if word(n) == mine), None)
        if other is not None:
            left.remove(one)
            right.remove(other)
            yield one, other


_TOLD_BY: Final = ("target/dev", "mac/address", "name", "alias/name", "dev", "vcpu", "id")


def _telling(node: Node) -> str | None:
    """What names the element for people: a disk's target, a NIC's MAC address."""
    if node.key():
        return node.key()
    return next((f"{path}={value}" for path in _TOLD_BY if (value := node.get(path))), None)


def _label(node: Node) -> str:
    word = node.key() or next((node.get(path) for path in _TOLD_BY if node.get(path)), "")
    return f"{_short(node.name)}[{word}]" if word else _short(node.name)


def _short(name: str) -> str:
    """Without the namespace, of which people know the last part at best."""
    return name.rpartition("}")[2]


def _summary(node: Node) -> str:
    words = [f"{name}={value}" for name, value in node.attributes]
    words += [
        f"{_short(child.name)}({', '.join(v for _, v in child.attributes) or child.text})"
        for child in node.children
        if child.name in ("source", "model", "target", "mac")
    ]
    text = node.text or " ".join(words)
    return f": {text}" if text else ""
