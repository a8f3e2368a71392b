"""Console: how quickly the web console shows a large fleet, scrolls, and shows what happens.

What it does   a server with 5,000 simulated nodes and 100,000 VMs in a process of its own, and Debian's Chromium before
               it, headless, 1440 x 900. First view: from the address to a heat map with all nodes, with an empty
               cache, median of 5. Frames: the list of all VMs scrolled from one end to the other in 600 steps, the
               time between two frames. Event to pixel: a domain on a simulated host is paused or resumed; until the
               row of that VM says so and the frame after it is drawn (both clocks are this machine's). First load: bytes
               over the wire for the first view, compressed as they came. Memory: the page's heap after a collection,
               before and after `--events` changes of VMs on screen (an hour of 1.7 changes a second), told to a page
               that shows the list
Peer           none runs here: the consoles of others need their own platforms
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace
from playwright.sync_api import BrowserContext, CDPSession, Page, sync_playwright

from bench.machine import machine
from corral.clock import SystemClock
from corral.demo.program import DemoConfig, begin, furnish
from corral.hypervisor.simulated import World
from corral.hypervisor.simulated.world import SimulatedHost
from corral.model.ids import VmId
from corral.model.vm import DomainState
from corral.server.config import ServerConfig
from corral.server.main import prepare_interpreter, serving

CHROMIUM = "/usr/bin/chromium"
STEPS = 600
FRAMES = """
async steps => {
  const grid = document.querySelector('.vtable')
  const frame = () => new Promise(requestAnimationFrame)
  const most = grid.scrollHeight - grid.clientHeight
  const took = []
  let last = await frame()
  for (let step = 1; step <= steps; step++) {
    grid.scrollTop = most * step / steps
    const now = await frame()
    took.push(now - last)
    last = now
  }
  return took
}
"""
SEEN = """
id => {
  const row = document.querySelector(`[data-id="${id}"] [data-column="phase"]`)
  window.seen = []
  new MutationObserver(() => {
    const text = row.textContent
    requestAnimationFrame(() => requestAnimationFrame(() => window.seen.push([Date.now(), text])))
  }).observe(row, {childList: true, subtree: true, characterData: true})
}
"""


# ---- the server's side, in a process of its own


async def serve(nodes: int, vms: int, directory: Path) -> None:
    """A demo whose domains are paused and resumed at a word on standard input: `VM`; answers with the time."""
    config = ServerConfig(
        data_dir=directory, http="127.0.0.1:0", link="127.0.0.1:0", join="127.0.0.1:0", context=""
    )
    async with serving(config) as server, asyncio.TaskGroup() as group:
        clock = SystemClock()
        world = World(clock)
        agents = await furnish(server, DemoConfig(nodes=nodes, vms=vms), world)
        prepare_interpreter()
        await begin(agents, group, clock)
        hosts = {vm: host for host in world.hosts.values() for vm in host.domains}
        await asyncio.sleep(10.0)  # what each agent does once at its start
        print(json.dumps({"http": server.http, "token": server.admin_token}), flush=True)
        while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
            print(json.dumps(flip(hosts[word], VmId(word))), flush=True)
        raise SystemExit(0)


def flip(host: SimulatedHost, vm: VmId) -> tuple[float, str]:
    held = host.domains[vm]
    paused = held.domain.state is DomainState.PAUSED
    state = DomainState.RUNNING if paused else DomainState.PAUSED
    held.domain = replace(held.domain, state=state)
    at_s = time.time()
    host.tell(vm, str(state))
    return at_s, str(state)


class Server:
    def __init__(self, nodes: int, vms: int, directory: str) -> None:
        self.log = Path(directory) / "server.log"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.ui",
                "--serve",
                directory,
                "--nodes",
                str(nodes),
                "--vms",
                str(vms),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
        )
        said = json.loads(self._line())
        self.url, self.token = f"http://127.0.0.1:{said['http'][1]}", said["token"]

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the server ended: {self.log.read_text()[-2000:]}"
        return line

    def flip(self, vm: str) -> tuple[float, str]:
        assert self.process.stdin
        self.process.stdin.write(vm + "\n")
        self.process.stdin.flush()
        at_s, state = json.loads(self._line())
        return float(at_s), str(state)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


# ---- the browser's side


def first_view(context: BrowserContext, url: str, nodes: int) -> tuple[float, float]:
    """Seconds until the heat map has all nodes, and bytes that came over the wire."""
    page = context.new_page()
    cdp = context.new_cdp_session(page)
    cdp.send("Network.enable")
    cdp.send("Network.setCacheDisabled", {"cacheDisabled": True})
    loaded: list[float] = []
    cdp.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.goto(f"{url}/", wait_until="commit")
    page.wait_for_selector(f'canvas[data-nodes="{nodes}"]', timeout=60_000)
    ready_ms = page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
    )
    page.wait_for_timeout(1_500)  # what is loaded behind the first view counts as well
    page.close()
    return float(ready_ms) / 1000, sum(loaded)


def frames(page: Page) -> list[float]:
    return [float(ms) for ms in page.evaluate(FRAMES, STEPS)]


def events_to_pixels(page: Page, server: Server, rounds: int) -> list[float]:
    """Milliseconds from a host's event to the frame behind the change of the row."""
    vm = page.locator(".vtable-row[data-id^='vm-']").first.get_attribute("data-id")
    assert vm
    page.evaluate(SEEN, vm)
    took = []
    for number in range(rounds):
        at_s, _ = server.flip(vm)
        page.wait_for_function("count => window.seen.length > count", arg=number, timeout=10_000)
        took.append(page.evaluate("number => window.seen[number][0]", number) - at_s * 1000)
        time.sleep(0.05)
    return took


def heap_mb(cdp: CDPSession) -> float:
    for _ in range(3):
        cdp.send("HeapProfiler.collectGarbage")
    metrics = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
    return float(metrics["JSHeapUsedSize"]) / 1e6


def growth(context: BrowserContext, page: Page, server: Server, events: int) -> tuple[float, float]:
    """The page's heap in MB, before and after so many changes of what is on screen."""
    cdp = context.new_cdp_session(page)
    cdp.send("Performance.enable")
    vms = [str(r.get_attribute("data-id")) for r in page.locator(".vtable-row[data-id^='vm-']").all()]
    for vm in vms * 5:  # what grows once, with the first changes, is no leak
        server.flip(vm)
    page.wait_for_timeout(3_000)
    before = heap_mb(cdp)
    for number in range(events):
        server.flip(vms[number % len(vms)])
        if number % 10 == 9:
            time.sleep(0.1)
    page.wait_for_timeout(3_000)
    return before, heap_mb(cdp)


def measure(nodes: int, vms: int, rounds: int, events: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        server = Server(nodes, vms, directory)
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            context.request.post(f"{server.url}/api/v1/session", data={"token": server.token})
            views = [first_view(context, server.url, nodes) for _ in range(5)]
            page = context.new_page()
            page.goto(f"{server.url}/vms")
            page.wait_for_selector(".vtable-row[data-id^='vm-']")
            page.wait_for_timeout(1_000)
            drawn = frames(page)
            page.goto(f"{server.url}/vms")
            page.wait_for_selector(".vtable-row[data-id^='vm-']")
            page.wait_for_timeout(1_000)
            lags = sorted(events_to_pixels(page, server, rounds))
            before, after = growth(context, page, server, events)
            print(f"frames over 50 ms: {sum(ms > 50 for ms in drawn)} of {len(drawn)}")
            print(f"event to pixel: p50 {lags[len(lags) // 2]:.0f} ms, most {lags[-1]:.0f} ms of {len(lags)}")
            print(f"heap: {before:.1f} MB, after {events} changes {after:.1f} MB")
            browser.close()
            return {
                "first_view_s": round(statistics.median(s for s, _ in views), 2),
                "frame_p50_ms": round(statistics.median(drawn), 1),
                "frame_max_ms": round(max(drawn), 1),
                "event_to_pixel_p99_ms": round(lags[min(len(lags) - 1, int(len(lags) * 0.99))], 0),
                "first_load_kb": round(statistics.median(size for _, size in views) / 1000),
                "memory_growth": round(after / before - 1, 3),
            }
        finally:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--vms", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--events", type=int, default=6_000)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    ask = parser.parse_args()
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if ask.serve:
        asyncio.run(serve(ask.nodes, ask.vms, Path(ask.serve)))
        return
    print(machine())
    print(json.dumps(measure(ask.nodes, ask.vms, ask.rounds, ask.events)))


if __name__ == "__main__":
    main()
