"""Displays: what a simulated guest shows: a serial line and a screen, and the sessions on them."""

from corral.hypervisor.interface import Console
from corral.hypervisor.simulated.console import SerialLine
from corral.hypervisor.simulated.screen import Screen, ScreenConsole
from corral.hypervisor.simulated.spice import SpiceConsole
from corral.model.console import ConsoleKind


class Displays:
    """Of one VM on one host."""

    def __init__(self, name: str) -> None:
        self.name, self.line, self.screen = name, SerialLine(), Screen(name)
        self.spice: list[SpiceConsole] = []

    def open(self, kind: ConsoleKind) -> Console:
        match kind:
            case ConsoleKind.SERIAL:
                return self.line.open(self.name)
            case ConsoleKind.VNC:
                return ScreenConsole(self.screen)
            case ConsoleKind.SPICE:
                self.spice = [channel for channel in self.spice if not channel.ended] + [SpiceConsole()]
                return self.spice[-1]

    def end(self) -> None:
        """The guest stops: all sessions end."""
        self.line.end()
        self.screen.end()
        for channel in self.spice:
            channel.end()
