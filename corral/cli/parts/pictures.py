"""Pictures: what a replay looked like.

In this room   draw(): density and refusals over time, and the fleet as a map of nodes
Comes in       Replayed, the file to draw in
Goes out       a PNG, SVG or PDF
Always true    matplotlib is an extra: without it, this says so before a long replay begins
Next door      scheduler/replay.py
Start here     draw()
"""

from pathlib import Path
from typing import Final

import numpy as np

from corral.errors import CorralError
from corral.scheduler.replay import Replayed

KINDS: Final = (".png", ".svg", ".pdf")


class NoPicture(CorralError):
    """Nothing can be drawn here."""

    code = "picture.impossible"
    status = 400


def check(file: Path) -> None:
    """Raises NoPicture: matplotlib is missing, or nothing can be written there"""
    if file.suffix.lower() not in KINDS:
        raise NoPicture(f"{file} is no picture's name", hint=f"End it with {', '.join(KINDS)}.")
    if not file.absolute().parent.is_dir():
        raise NoPicture(
            f"there is no folder {file.absolute().parent}", hint="Make it, or choose another one."
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise NoPicture(
            "drawing needs matplotlib, which is not installed",
            hint="Install Corral with its extra: corral[tuning].",
        ) from None


def draw(result: Replayed, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figures, moments = result.figures, result.moments
    hours = np.array([m.at_s - moments[0].at_s for m in moments]) / 3600
    figure = pyplot.figure(figsize=(10, 8), constrained_layout=True)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    over_time = figure.add_subplot(grid[0, :])
    over_time.plot(hours, [m.used for m in moments], color="#1f5f8b", linewidth=1, label="density")
    over_time.set(xlabel="hours", ylabel="used share of nodes in use", ylim=(0, 1.02))
    over_time.set_title(
        f"{figures.policy}: density {figures.density:.3f}, {figures.nodes} nodes, "
        f"{figures.refused} of {figures.placed + figures.refused} VMs refused, {figures.migrations} migrations",
        fontsize=11,
    )
    refused = over_time.twinx()
    refused.plot(hours, [m.refused for m in moments], color="#b3392f", linewidth=1)
    refused.set_ylabel("refused so far", color="#b3392f")
    refused.set_ylim(bottom=0, top=max(1, figures.refused) * 1.05)
    for number, name in enumerate(("vCPUs", "memory")):
        _map(figure, figure.add_subplot(grid[1, number]), result.shares[:, number], name)
    figure.savefig(file, dpi=130)
    pyplot.close(figure)


def _map(figure, axes, shares, name) -> None:  # type: ignore[no-untyped-def]  # matplotlib's types are not ours
    """A square a node, by the share that is claimed on it, at the fullest moment."""
    axes.axis("off")
    if not len(shares):
        return
    wide = max(1, int(np.ceil(np.sqrt(1.6 * len(shares)))))
    cells = np.full(wide * -(-len(shares) // wide), np.nan)
    cells[: len(shares)] = shares
    image = axes.imshow(cells.reshape(-1, wide), cmap="viridis", vmin=0, vmax=1, aspect="equal")
    axes.set_title(f"{name} at the fullest moment: a square is a node", fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.8)
