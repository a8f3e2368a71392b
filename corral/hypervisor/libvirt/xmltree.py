"""XML trees that keep what they do not understand.

In this room   Element, Text, Aside; parse(), text_of(), and split(): a file that holds several documents
Comes in       text: what libvirt dumps, or what people keep in files
Goes out       a tree; written back it says the same: comments, CDATA, prefixes, order and white space stay
Always true    names keep their prefix as written (qemu:commandline); resolved() says what a prefix stands for.
               No file and no network is opened, whatever a DTD in the document asks for.
Next door      canonical.py compares trees, reading.py and editing.py know what a domain is
Start here     parse()
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from msgspec import Struct

DEPTH_MAX: Final = 200  # libxml2 stops at 256; deeper is no domain
XMLNS: Final = "xmlns"
_NEXT_DOCUMENT: Final = re.compile(r"^<(?:\?xml|[A-Za-z])", re.MULTILINE)


class NotXML(ValueError):
    """The text is not well-formed; says where."""


@dataclass
class Text:
    value: str
    cdata: bool = False


@dataclass
class Aside:
    """A comment or a processing instruction, as written."""

    markup: str


@dataclass
class Element:
    tag: str  # with its prefix
    attributes: dict[str, str] = field(default_factory=dict)  # in order, xmlns declarations included
    children: "list[Element | Text | Aside]" = field(default_factory=list)

    # ---- look

    @property
    def elements(self) -> "list[Element]":
        return [child for child in self.children if isinstance(child, Element)]

    def all(self, *path: str) -> "list[Element]":
        """All elements at this path below."""
        found = [self]
        for tag in path:
            found = [child for parent in found for child in parent.elements if child.tag == tag]
        return found

    def find(self, *path: str) -> "Element | None":
        return next(iter(self.all(*path)), None)

    def get(self, attribute: str, *path: str, default: str = "") -> str:
        """The attribute of the first element at this path."""
        element = self.find(*path)
        return default if element is None else element.attributes.get(attribute, default)

    def text(self, *path: str, default: str = "") -> str:
        """The text of the first element at this path, without white space around it."""
        element = self.find(*path)
        return default if element is None else element.content.strip()

    @property
    def content(self) -> str:
        """Its own text, as written."""
        return "".join(child.value for child in self.children if isinstance(child, Text))

    # ---- change

    def set_text(self, text: str) -> None:
        """Replace its text; elements and asides in it stay."""
        kept: list[Element | Text | Aside] = [c for c in self.children if not isinstance(c, Text)]
        self.children = [Text(text), *kept] if text else kept

    def add(self, child: "Element", *, before: "Element | None" = None) -> "Element":
        """Put it in, on a line of its own like its neighbours; by default as the last."""
        if before is not None:
            at = next(n for n, c in enumerate(self.children) if c is before)
            self.children[at:at] = [child, Text(self._break_before(at))]
        elif self.elements:
            at = max(n for n, c in enumerate(self.children) if isinstance(c, Element)) + 1
            self.children[at:at] = [Text(self._break_before(at - 1)), child]
        else:
            self.children.append(child)
        return child

    def _break_before(self, at: int) -> str:
        """The white space in front of this child."""
        before = self.children[at - 1] if at else None
        return before.value if isinstance(before, Text) and not before.value.strip() else ""

    def remove(self, child: "Element") -> None:
        """Take it out, with the line break in front of it."""
        at = next(n for n, c in enumerate(self.children) if c is child)
        start = at - 1 if self._break_before(at) else at
        del self.children[start : at + 1]

    def copy(self) -> "Element":
        children = [
            child.copy() if isinstance(child, Element) else type(child)(**vars(child))
            for child in self.children
        ]
        return Element(self.tag, dict(self.attributes), children)


# ---- names


Prefixes = Mapping[str, str]  # namespace by prefix; "" is the default namespace


def prefixes_in(element: Element, outer: Prefixes) -> Prefixes:
    """What prefixes mean inside the element."""
    own = {
        name.partition(":")[2]: value
        for name, value in element.attributes.items()
        if name == XMLNS or name.startswith(f"{XMLNS}:")
    }
    return {**outer, **own} if own else outer


def resolved(name: str, prefixes: Prefixes, *, attribute: bool = False) -> str:
    """`{namespace}local`; a plain name where there is no namespace, or nobody declared the prefix."""
    prefix, colon, local = name.rpartition(":")
    if attribute and not colon:
        return name
    namespace = prefixes.get(prefix, "")
    return f"{{{namespace}}}{local}" if namespace else name


# ---- reading


def parse(text: str) -> Element:
    """The one document that the text is. raises NotXML"""
    root, rest = _parse_first(text)
    if rest.strip():
        raise NotXML(f"something follows the document: {rest.strip()[:40]!r}")
    return root


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a file: a document, or what is none."""

    root: Element | None = None
    text: str
    line: int  # where it begins in the file, from 1
    wrong: str = ""  # why what looks like a document is none


def split(text: str) -> Iterator[Piece]:
    """The documents of a file one after another, and what stands between them."""
    at = 0
    text = text.removeprefix("\ufeff")
    while at < len(text):
        rest = text[at:]
        if not rest.strip():
            return
        line = text.count("\n", 0, at + len(rest) - len(rest.lstrip())) + 1
        end = at + _next_start(rest)
        if rest.lstrip().startswith("<"):
            try:
                root, after = _parse_first(rest)
            except NotXML as error:
                yield Piece(text=text[at:end], line=line, wrong=str(error))
            else:
                end = len(text) - len(after)
                yield Piece(root=root, text=text[at:end], line=line)
        else:
            yield Piece(text=text[at:end], line=line)
        at = end


def _next_start(rest: str) -> int:
    """Where the next document may begin, behind the first character that counts."""
    first = len(rest) - len(rest.lstrip()) + 1
    match = _NEXT_DOCUMENT.search(rest, first)
    return match.start() if match else len(rest)


def _parse_first(text: str) -> tuple[Element, str]:
    """The first document, and the text behind it. raises NotXML"""
    begin = len(text) - len(text.lstrip())
    document = text[begin:].encode("utf-8", "surrogatepass")
    builder = _Builder()
    parser = builder.parser
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        if builder.root is None or builder.open:
            raise NotXML(
                f"line {error.lineno}, column {error.offset}: {expat.ErrorString(error.code)}"
            ) from None
        rest = document[parser.ErrorByteIndex :]
        return builder.root, rest.decode("utf-8", "surrogatepass")
    assert builder.root is not None
    return builder.root, ""


class _Builder:
    """Grows the tree as expat reads."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self.open: list[Element] = []
        self._in_cdata = False
        self.parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.CommentHandler = lambda data: self._aside(f"<!--{data}-->")
        parser.ProcessingInstructionHandler = lambda target, data: self._aside(f"<?{target} {data}?>")
        parser.StartCdataSectionHandler = lambda: self._cdata(True)
        parser.EndCdataSectionHandler = lambda: self._cdata(False)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) >= DEPTH_MAX:
            raise NotXML(f"line {self.parser.CurrentLineNumber}: more than {DEPTH_MAX} elements deep")
        element = Element(tag, attributes)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, tag: str) -> None:
        self.open.pop()

    def _data(self, data: str) -> None:
        self.open[-1].children.append(Text(data, self._in_cdata))

    def _aside(self, markup: str) -> None:
        if self.open:  # outside of the root it belongs to the file, not to the domain
            self.open[-1].children.append(Aside(markup))

    def _cdata(self, inside: bool) -> None:
        self._in_cdata = inside


# ---- writing


def text_of(root: Element) -> str:
    """The document, without a declaration, with a line break at its end."""
    parts: list[str] = []
    _write(root, parts)
    return "".join(parts) + "\n"


_IN_ATTRIBUTE: Final = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_IN_TEXT: Final = {"\r": "&#13;"}


def _write(element: Element, parts: list[str]) -> None:
    attributes = "".join(f' {n}="{escape(v, _IN_ATTRIBUTE)}"' for n, v in element.attributes.items())
    parts.append(f"<{element.tag}{attributes}")
    if not element.children:
        parts.append("/>")
        return
    parts.append(">")
    for child in element.children:
        match child:
            case Element():
                _write(child, parts)
            case Text(value, True):
                parts.append(f"<![CDATA[{value}]]>")
            case Text(value):
                parts.append(escape(value, _IN_TEXT))
            case Aside(markup):
                parts.append(markup)
    parts.append(f"</{element.tag}>")
