"""Pictures: what streams show anew as it changes, as JSON.

In this room   the overview, the heatmap's cells, the figures of one node or VM; each a watching.Picture
Comes in       server/overview.py, server/heatmap.py, the hub's rings
Goes out       JSON of what is new, or nothing
Next door      watching.py rings and sends; routes/overview.py, facts.py
Start here     WholePicture
"""

from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from corral.model.ids import NodeId, VmId
from corral.model.token import Role
from corral.server.facts import Series
from corral.server.heatmap import CellNews, Cells
from corral.server.http.answers import to_json
from corral.server.http.ports import FactSource
from corral.server.http.present import may_hear_of
from corral.server.overview import Overview, Whole
from corral.store.mirror import Mirror


class WholePicture:
    """The overview, whole each time."""

    pause_s = 1.0

    def __init__(self, overview: Overview, mirror: Mirror, hub: FactSource, role: Role) -> None:
        self.overview, self.mirror, self.hub, self.role = overview, mirror, hub, role
        self._shown: Whole | None = None

    def listen(self, ring: Callable[[], None]) -> Callable[[], None]:
        stop = self.mirror.on_change(lambda _: ring())
        forget = on_facts(self.hub, lambda *_: ring())

        def hang_up() -> None:
            stop()
            forget()

        return hang_up

    def look(self) -> bytes:
        whole = as_seen_by(self.role, self.overview.look())
        if self._shown is not None and _timeless(whole) == _timeless(self._shown):
            return b""
        self._shown = whole
        return to_json(whole)


def as_seen_by(role: Role, whole: Whole) -> Whole:
    """Without what needs attention of kinds that the role may not see: viewers see no tokens."""
    told = [each for each in whole.attention if may_hear_of(each.kind, role)]
    hidden = len(whole.attention) - len(told)
    return structs.replace(whole, attention=told, attention_total=whole.attention_total - hidden)


def _timeless(whole: Whole) -> Whole:
    return structs.replace(whole, at=0.0, revision=0)


class CellsPicture:
    """Cells of the heatmap that look different."""

    def __init__(self, cells: Cells) -> None:
        self.cells, self.pause_s, self.listen = cells, cells.pause_s, cells.listen
        self._begun = False

    def look(self) -> bytes:
        """The first one is empty but for its revision: who reads the heatmap after it misses nothing."""
        news = self.cells.news()
        if not self._begun and news is None:
            news = CellNews(revision=self.cells.mirror.revision, rows=[])
        self._begun = True
        return b"" if news is None else to_json(news)


class Row(Struct, frozen=True, kw_only=True):
    """Figures of one moment, by name."""

    at: float  # Unix time, seconds
    figures: dict[str, float | None]


class RowsPicture:
    """The figures of one node or VM, a row as it comes."""

    pause_s = 0.2

    def __init__(self, about: str, series: Callable[[], Series], hub: FactSource) -> None:
        self.about, self.series, self.hub = about, series, hub
        self._newest = 0.0

    def listen(self, ring: Callable[[], None]) -> Callable[[], None]:
        def tell(node: NodeId, vms: Sequence[VmId]) -> None:
            if self.about == node or self.about in vms:
                ring()

        return on_facts(self.hub, tell)

    def look(self) -> bytes:
        series = self.series()
        if not series.at or series.at[-1] == self._newest:
            return b""
        self._newest = series.at[-1]
        figures = {name: column[-1] for name, column in series.rows.items()}
        return to_json(Row(at=self._newest, figures=figures))


def on_facts(hub: FactSource, tell: Callable[[NodeId, Sequence[VmId]], None]) -> Callable[[], None]:
    """Have `tell` called after each message of figures. Returns how to end that."""
    key = object()
    hub.on_facts[key] = tell

    def hang_up() -> None:
        del hub.on_facts[key]

    return hang_up
