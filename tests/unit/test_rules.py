"""The project's own rules bite on bad samples, and leave good ones alone."""

import pytest

from tools import rules

DOC = '"""A room."""\n'
ERRORS = {"docs/reference/errors.md": "| `node.gone` | 404 | ... |\n"}

CLOCK = [  # name, path, code, what is found
    ("time.time", "corral/server/x.py", "import time\ntime.time()", "time.time"),
    (
        "a function imported from time",
        "corral/agent/x.py",
        "from time import monotonic\nmonotonic()",
        "time.monotonic",
    ),
    ("a renamed module", "corral/agent/x.py", "import time as t\nt.sleep(1)", "time.sleep"),
    (
        "asyncio.sleep",
        "corral/agent/x.py",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "asyncio.sleep",
    ),
    (
        "datetime.now",
        "corral/store/x.py",
        "from datetime import datetime\ndatetime.now()",
        "datetime.datetime.now",
    ),
    (
        "datetime.datetime.now",
        "corral/store/x.py",
        "import datetime\ndatetime.datetime.now()",
        "datetime.datetime.now",
    ),
    ("random.random", "corral/store/x.py", "import random\nrandom.random()", "random.random"),
    ("secrets", "corral/server/x.py", "import secrets\nsecrets.token_hex()", "secrets.token_hex"),
    ("uuid4", "corral/server/x.py", "from uuid import uuid4\nuuid4()", "uuid.uuid4"),
    ("passed on without a call", "corral/server/x.py", "import time\nf(clock=time.time)", "time.time"),
    ("clock.py may", "corral/clock.py", "import time\ntime.time()", ""),
    ("the lab may", "corral/lab/x.py", "import time\ntime.sleep(1)", ""),
    ("random.Random is a type", "corral/server/x.py", "import random\nx: random.Random", ""),
    ("another thing called time", "corral/server/x.py", "class time: ...\ntime.time()", ""),
    ("asyncio.timeout follows the loop", "corral/server/x.py", "import asyncio\nasyncio.timeout(1)", ""),
    ("uuid5 is no chance", "corral/server/x.py", "from uuid import uuid5\nuuid5(a, b)", ""),
]


@pytest.mark.parametrize(("path", "code", "found"), [pytest.param(*r[1:], id=r[0]) for r in CLOCK])
def test_clock_rule(path: str, code: str, found: str) -> None:
    findings = list(rules.clock_rule({path: code}))
    assert [f.message.split()[0] for f in findings] == ([found] if found else [])


ROUTES = [
    ("public and not on the list", '@get("/api/v1/vms", public=True)\ndef f(): ...', 1),
    ("public by a variable", '@get("/api/v1/vms", public=OPEN)\ndef f(): ...', 1),
    ("excluded under the framework's own word", '@get("/x", exclude_from_auth=True)\ndef f(): ...', 1),
    ("public without a path", "@get(public=True)\ndef f(): ...", 1),
    ("public and on the list", '@get("/healthz", public=True)\ndef f(): ...', 0),
    ("asks for a token", '@get("/api/v1/vms")\ndef f(): ...', 0),
    ("says that it is not public", '@get("/api/v1/vms", public=False)\ndef f(): ...', 0),
]


@pytest.mark.parametrize(("code", "found"), [pytest.param(*r[1:], id=r[0]) for r in ROUTES])
def test_route_rule(code: str, found: int) -> None:
    assert len(list(rules.route_rule({"corral/server/http/routes/x.py": code}))) == found


def test_error_rule_wants_codes_documented_and_unique() -> None:
    one = 'class NodeGone(CorralError):\n    code = "node.gone"\n'
    two = 'class NodeLost(CorralError):\n    code: ClassVar[str] = "node.gone"\n'
    new = 'class NodeOdd(CorralError):\n    code = "node.odd"\n'
    assert not list(rules.error_rule({**ERRORS, "corral/a.py": one}))
    assert (
        "that corral/a.py:NodeGone has"
        in next(iter(rules.error_rule({**ERRORS, "corral/a.py": one, "corral/b.py": two}))).message
    )
    assert "errors.md" in next(iter(rules.error_rule({**ERRORS, "corral/b.py": new}))).message


LOCKS = [
    ("an address", "a==1 \\\n    --hash=sha256:00\n# https://example.org/simple", 1),
    ("an index option", "--extra-index-url file:///x\na==1 \\\n    --hash=sha256:00", 1),
    ("no hash", "a==1\n", 1),
    ("versions and hashes", "a==1 \\\n    --hash=sha256:00\n    # via httpx\n", 0),
]


@pytest.mark.parametrize(("text", "found"), [pytest.param(*r[1:], id=r[0]) for r in LOCKS])
def test_lock_rule(text: str, found: int) -> None:
    assert len(list(rules.lock_rule({"requirements/dev.lock": text}))) == found


def test_docstring_rule() -> None:
    assert list(rules.docstring_rule({"corral/x.py": "X = 1\n"}))
    assert not list(rules.docstring_rule({"corral/x.py": DOC + "X = 1\n", "corral/y/__init__.py": ""}))


def test_the_rules_read_this_project() -> None:
    files = rules.read_files()
    assert "corral/clock.py" in files and "requirements/dev.lock" in files
