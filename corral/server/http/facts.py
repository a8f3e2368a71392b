"""Facts: live figures as an answer."""

from msgspec import Struct

from corral.model.resource import Ref, Resource


class Figures(Struct, frozen=True, kw_only=True):
    """The latest figures of a node or VM, by name (model/link.py says what each means). Never stored."""

    about: Ref
    figures: dict[str, float] = {}


def figures(of: Resource, latest: dict[str, float] | None) -> Figures:
    return Figures(about=of.ref, figures=latest or {})
