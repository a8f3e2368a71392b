import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from corral.cli.main import main
from tests.unit.client.fake_api import FakeApi, serving


class Result(NamedTuple):
    code: int
    out: str
    err: str


Corral = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving(FakeApi()) as running:
        yield running


@pytest.fixture
def corral(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Corral:
    """Runs a command in this process, against the fake server."""
    for name in [n for n in os.environ if n.startswith("CORRAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CORRAL_URL", api.url)
    monkeypatch.setenv("CORRAL_TOKEN", "corral_tok-1_secret")
    monkeypatch.setenv("CORRAL_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("CORRAL_CONTEXT", "")
    monkeypatch.setenv("TZ", "UTC")

    def run(*argv: str) -> Result:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        out, err = capsys.readouterr()
        return Result(int(left.value.code or 0), out, err)

    return run


def in_a_process(*argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
