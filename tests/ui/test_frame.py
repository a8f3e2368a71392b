"""The frame of the console: signing in and out, themes, languages, the connection to the server."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from bench.serving import free_port
from tests.ui.conftest import PAGE_MS, ROOT, Console, sign_in, wait_for


@pytest.fixture
def stranger(browser: Browser, console: Console) -> Iterator[Page]:
    """A page of somebody who is not signed in."""
    context = browser.new_context(base_url=console.url, locale="en-US")
    context.set_default_timeout(PAGE_MS)
    yield context.new_page()
    context.close()


def test_signs_in_with_a_token_and_out_again(stranger: Page, console: Console) -> None:
    stranger.goto("/vms")
    stranger.get_by_label("Token").fill(console.token)
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("heading", name="VMs")).to_be_visible()

    cookies = [c for c in stranger.context.cookies() if c["name"] == "corral_session"]
    assert len(cookies) == 1
    assert cookies[0]["httpOnly"]
    assert cookies[0]["sameSite"] == "Strict"
    kept = stranger.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert console.token.rpartition("_")[2] not in kept
    assert "corral_session" not in kept

    stranger.get_by_role("button", name=re.compile("Account")).click()
    stranger.get_by_role("menuitem", name="Sign out").click()
    expect(stranger.get_by_label("Token")).to_be_visible()
    stranger.goto("/vms")
    expect(stranger.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize("token", ["nonsense", "corral_tok-01M8AP_abc"])
def test_a_wrong_token_is_refused_in_words(stranger: Page, token: str) -> None:
    stranger.goto("/")
    stranger.get_by_label("Token").fill(token)
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_text("not valid")).to_be_visible()


def test_a_link_with_a_token_signs_in_and_leaves_no_token_behind(stranger: Page, console: Console) -> None:
    stranger.goto(f"/vms#token={console.token}")
    expect(stranger.get_by_role("heading", name="VMs")).to_be_visible()
    assert console.token not in stranger.url


def test_scripts_of_others_are_not_run(page: Page) -> None:
    page.goto("/vms")
    with pytest.raises(Exception, match="Content Security Policy"):
        page.add_script_tag(content="window.bad = 1")
    assert page.evaluate("window.bad") is None


def test_no_page_of_another_site_may_change_anything(page: Page, console: Console) -> None:
    """A cookie alone does not do: the request has to come from our own page."""
    answer = page.context.request.post(
        f"{console.url}/api/v1/vms/any/start", headers={"origin": "https://elsewhere.example"}
    )
    assert answer.status == 403


def test_speaks_chinese(page: Page) -> None:
    page.goto("/vms")
    page.get_by_role("button", name=re.compile("Language")).click()
    page.get_by_role("menuitem", name="简体中文").click()
    expect(page.get_by_role("heading", name="虚拟机")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.reload()
    expect(page.get_by_role("heading", name="虚拟机")).to_be_visible()


def test_keeps_the_theme_that_was_chosen(page: Page) -> None:
    page.goto("/vms")
    page.get_by_role("button", name="Dark theme").click()
    expect(page.locator("html")).to_have_class(re.compile("pf-v6-theme-dark"))
    page.reload()
    expect(page.locator("html")).to_have_class(re.compile("pf-v6-theme-dark"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_page_is_accessible(
    browser: Browser, console: Console, theme: str, axe_of: Callable[[Page], list[str]]
) -> None:
    context = browser.new_context(base_url=console.url, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_label("Token")).to_be_visible()
    assert axe_of(page) == []
    context.close()


def test_an_unknown_address_says_so(page: Page) -> None:
    page.goto("/nonsense/at/all")
    expect(page.get_by_text("There is no such page.")).to_be_visible()


class RealServer:
    """`corral server run` with a directory of its own, that can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.ports = directory, [free_port() for _ in range(3)]
        self.program: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        http, link, join = (f"127.0.0.1:{port}" for port in self.ports)
        where = ("--data-dir", str(self.directory / "data"), "--http", http, "--link", link, "--join", join)
        self.program = subprocess.Popen(
            (sys.executable, "-m", "corral.cli.main", "server", "run", *where, "--name", "127.0.0.1"),
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "PYTHONPATH": str(ROOT)},
            stdout=(self.directory / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        wait_for(lambda: _answers(self.url))

    def kill(self) -> None:
        assert self.program
        self.program.send_signal(signal.SIGKILL)
        self.program.wait(10)

    @property
    def token(self) -> str:
        found = re.search(r"corral_tok\S+", (self.directory / "log").read_text())
        assert found
        return found[0]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1.0).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealServer]:
    server = RealServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def visitor(browser: Browser, real: RealServer) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=real.url, locale="en-US")
    context.set_default_timeout(PAGE_MS)
    sign_in(context, Console(url=real.url, token=real.token))
    yield context
    context.close()


def test_a_server_that_dies_and_comes_back_loses_nothing(visitor: BrowserContext, real: RealServer) -> None:
    api = Console(url=real.url, token=real.token).api
    page = visitor.new_page()
    api.post("/vms", json={"name": "before", "memory": "128MiB", "running": False}).raise_for_status()
    page.goto("/vms")
    expect(page.get_by_role("link", name="before")).to_be_visible()

    real.kill()
    expect(page.get_by_text("No connection to the server")).to_be_visible()
    expect(page.get_by_role("link", name="before")).to_be_visible()

    real.start()
    api.post("/vms", json={"name": "meanwhile", "memory": "128MiB", "running": False}).raise_for_status()
    expect(page.get_by_text("No connection to the server")).to_be_hidden(timeout=20_000)
    expect(page.get_by_role("link", name="meanwhile")).to_be_visible()


def test_a_token_that_is_revoked_ends_the_session_where_it_is(
    visitor: BrowserContext, real: RealServer
) -> None:
    api = Console(url=real.url, token=real.token).api
    made = api.post("/tokens", json={"name": "visitor", "role": "operator"}).raise_for_status().json()
    page = visitor.new_page()
    page.goto("/vms")
    visitor.clear_cookies()
    sign_in(visitor, Console(url=real.url, token=made["secret"]))
    page.reload()
    expect(page.get_by_role("heading", name="VMs")).to_be_visible()
    api.delete(f"/tokens/{made['resource']['id']}").raise_for_status()
    expect(page.get_by_text("The session has ended")).to_be_visible(timeout=40_000)
    page.get_by_label("Token").fill(real.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("The session has ended")).to_be_hidden()
    api.post("/vms", json={"name": "afterwards", "memory": "128MiB", "running": False}).raise_for_status()
    expect(page.get_by_role("link", name="afterwards")).to_be_visible()
