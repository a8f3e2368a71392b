"""Look at pages: `python -m tests.ui.look OUT_DIR /vms /nodes` takes a screenshot of each, light and dark."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.ui.conftest import CHROMIUM, end, sign_in, start_demo


def main(out: str, *paths: str) -> None:
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        program, console = start_demo(Path(directory), "--nodes", "40", "--vms", "1200")
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for theme in ("light", "dark"):
                context = browser.new_context(
                    base_url=console.url, viewport={"width": 1440, "height": 900}, color_scheme=theme
                )
                sign_in(context, console)
                page = context.new_page()
                page.on("console", lambda m: print(m.type, m.text) if m.type == "error" else None)
                page.on("pageerror", lambda e: print("page error:", e))
                for path in paths:
                    page.goto(path)
                    page.wait_for_timeout(1_500)
                    name = path.strip("/").replace("/", "-") or "start"
                    page.screenshot(path=place / f"{name}-{theme}.png")
            browser.close()
        finally:
            end(program)


if __name__ == "__main__":
    main(*sys.argv[1:])
