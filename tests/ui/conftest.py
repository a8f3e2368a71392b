"""The web console in Debian's Chromium, before a real server with simulated nodes."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / ".cache" / "test" / "ui"
READY_S = 60.0
PAGE_MS = 10_000
expect.set_options(timeout=PAGE_MS)


class Console(Struct, frozen=True, kw_only=True):
    """A running server, and the way in."""

    url: str
    token: str

    @property
    def api(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"authorization": f"Bearer {self.token}"}, timeout=30.0
        )


def obstacle() -> str:
    """Why no page can be shown here; "" when it can."""
    if CHROMIUM is None:
        return "chromium is not installed (`make setup`)"
    if not (ROOT / "corral" / "server" / "http" / "console" / "index.html").exists():
        return "the console is not built (`make ui`)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = obstacle()
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """CI has a browser: a test that is skipped there proves nothing. What a failed one showed is kept."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true: {report.longrepr}"
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and call.when == "call" and page is not None:
        (SHOTS / "failed").mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "failed" / f"{re.sub(r'[^a-zA-Z0-9_]+', '-', item.name)}.png")
    return report


def wait_for(holds: Callable[[], bool], seconds: float = READY_S) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)


def start_demo(directory: Path, *words: str) -> tuple[subprocess.Popen[bytes], Console]:
    """`corral server --demo` on a free port, ready."""
    log = directory / "server.log"
    environment = os.environ | {"XDG_CONFIG_HOME": str(directory), "HOME": str(directory)}
    program = subprocess.Popen(
        (sys.executable, "-m", "corral.cli.main", "server", "--demo", "--http", "127.0.0.1:0", *words),
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and program.poll() is None:
        said = log.read_text()
        token = re.search(r"corral_tok\S+", said)
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        if token and address:
            return program, Console(url=address[0], token=token[0])
        time.sleep(0.1)
    program.kill()
    raise AssertionError(f"the demo did not start:\n{log.read_text()}")


def end(program: subprocess.Popen[bytes]) -> None:
    """End a demo; one that is compiling its loops may not hear it in time."""
    program.terminate()
    try:
        program.wait(20)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait(20)


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A demo of 12 nodes and 300 VMs, shared by the tests of a session: each makes what it changes."""
    program, console = start_demo(tmp_path_factory.mktemp("demo"), "--nodes", "12", "--vms", "300")
    try:
        yield console
    finally:
        end(program)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--lang=en-US"])
        yield browser
        browser.close()


def sign_in(context: BrowserContext, console: Console) -> None:
    """Without the form: the session's cookie goes into the context."""
    answer = context.request.post(f"{console.url}/api/v1/session", data={"token": console.token})
    assert answer.ok, answer.text()


@pytest.fixture
def context(browser: Browser, console: Console) -> Iterator[BrowserContext]:
    context = browser.new_context(
        base_url=console.url, viewport={"width": 1440, "height": 900}, locale="en-US"
    )
    context.set_default_timeout(PAGE_MS)
    sign_in(context, console)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of somebody who is signed in. What it complains about fails the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


@pytest.fixture
def axe_of() -> Callable[[Page], list[str]]:
    """What speaks against WCAG 2 AA on a page as it is: one line a rule, with the first element."""

    def look(page: Page) -> list[str]:
        # evaluated, not added as a script: the page's policy lets in none but its own
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
        return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]]

    return look


@pytest.fixture
def axe(page: Page, axe_of: Callable[[Page], list[str]]) -> Callable[[], list[str]]:
    return lambda: axe_of(page)
