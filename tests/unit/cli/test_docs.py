"""Reference pages say what the code says."""

import re

import pytest

from corral.cli.parts.exits import MEANING
from tools import docs


@pytest.mark.parametrize("path", docs.PAGES, ids=lambda path: path.name)
def test_page_is_current(path) -> None:
    assert path.read_text() == docs.PAGES[path](), "run tools/docs.py"


def test_every_code_is_listed_once() -> None:
    codes = re.findall(r"^\| `([a-z_.]+)` \|", docs.errors_page(), re.MULTILINE)
    assert len(codes) > 30
    assert codes == sorted(set(codes))


def test_every_error_says_what_it_means() -> None:
    silent = [code for code, kind in docs.all_errors().items() if not (kind.__doc__ or "").strip()]
    assert not silent


def test_commands_in_the_guide_exist() -> None:
    """Each `corral …` line of the guide's code blocks names a noun and a verb that are there."""
    page = docs.cli_page()
    for guide in sorted((docs.ROOT / "docs" / "guide").glob("*.md")):
        blocks = re.findall(r"```(?:console|bash|sh)\n(.*?)```", guide.read_text(), re.DOTALL)
        lines = [
            line for block in blocks for line in block.splitlines() if re.match(r"(\$ )?corral \w", line)
        ]
        for line in lines:
            noun, verb = re.match(r"(?:\$ )?corral (\S+) ?(\S*)", line).groups()  # type: ignore[union-attr]
            title = f"### corral {noun} {verb}" if f"### corral {noun} " in page else f"## corral {noun}"
            known = title in page or (noun in ("server",) and verb.startswith("--"))
            assert known, f"{guide.name}: {line}"


def test_the_guide_has_the_exit_codes() -> None:
    guide = (docs.ROOT / "docs" / "guide" / "command-line.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", guide, re.MULTILINE)
    assert rows == [(str(int(code)), meaning) for code, meaning in MEANING.items()]
