"""Rules of the house that no off-the-shelf linter knows.

In this room   one function a rule: a file's text in, what it breaks out
Comes in       the files that git knows of (committed or not), their paths relative to the root
Goes out       findings, "path:line: what is wrong, and why it matters"; exit status 1 if there are any
Always true    a rule reads text only: it never runs what it checks. Each exception stands here with its reason.
Next door      check.py calls this; tests/unit/test_rules.py shows that each rule bites
Start here     RULES, at the end
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


Files = Mapping[str, str]  # text by path
Rule = Callable[[Files], Iterable[Finding]]


# ---- no clock but clock.py

CLOCKS: Final = (
    re.compile(r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep)$"),
    re.compile(r"datetime\.(datetime\.|date\.)?(now|utcnow|today)$"),
    re.compile(r"asyncio\.sleep$"),
    re.compile(r"random\.(?!Random$)\w+$"),  # random.Random is a type that Clock.chance has
    re.compile(r"secrets\.\w+$"),
    re.compile(r"uuid\.uuid[14]$"),
    re.compile(r"os\.urandom$"),
)
CLOCK_FREE: Final = {  # path or folder: why it may read the clock by itself
    "corral/clock.py": "it is the front door",
    "corral/lab/": "drives the machine itself, outside of what is simulated",
    "corral/cli/": "a person's terminal: outside of what is simulated",
}


def clock_rule(files: Files) -> Iterator[Finding]:
    """Time and chance come in through corral.clock.Clock."""
    for path, tree in parsed(files, "corral/"):
        if any(path == free or (free.endswith("/") and path.startswith(free)) for free in CLOCK_FREE):
            continue
        for line, name in used_names(tree):
            if any(clock.search(name) for clock in CLOCKS):
                yield Finding(
                    path,
                    line,
                    f"{name} goes past corral.clock.Clock: the simulation could neither control nor replay this. "
                    "Take a Clock as an argument",
                )


def used_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Dotted names as used in a module, with import aliases resolved: (line, "time.monotonic")."""
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node)
            first, dot, rest = name.partition(".")
            if first in imported:
                yield node.lineno, imported[first] + dot + rest


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


# ---- no route without auth

ROUTES: Final = "corral/server/http/"
HANDLERS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "route", "websocket", "sse"})
HANDLERS_PUBLIC: Final = {  # path template of a route: why it needs no token
    "/healthz": "load balancers have no token; it tells that the process lives",
    "/readyz": "as /healthz; it tells yes or no",
    "/api/v1/openapi.json": "the description of the API, the same for everyone; tools fetch it before they have a token",
    "/api/docs": "the page that shows the description; a browser opens it without a header",
    "/api/docs/docs.js": "as /api/docs",
    "/api/docs/docs.css": "as /api/docs",
    "/session": "signing in is how a browser comes to a session, signing out has to work when that is over",
}


def route_rule(files: Files) -> Iterator[Finding]:
    """A route that opts out of authentication (`public=True`) has to be on the list above."""
    for path, tree in parsed(files, ROUTES):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            opts_out = any(
                keyword.arg in ("public", "exclude_from_auth")
                and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                for keyword in node.keywords
            )
            if not opts_out:
                continue
            paths = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if not paths or any(p not in HANDLERS_PUBLIC for p in paths):
                yield Finding(
                    path,
                    node.lineno,
                    f"route {', '.join(paths) or '?'} answers without a token. Remove public=True, or add the route "
                    "with its reason to HANDLERS_PUBLIC in tools/rules.py",
                )


# ---- errors: one code, one meaning, documented

ERRORS_PAGE: Final = "docs/reference/errors.md"


def error_rule(files: Files) -> Iterator[Finding]:
    """Programs tell errors apart by their code, so each code is unique and explained in the docs."""
    seen: dict[str, str] = {}
    documented = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", files.get(ERRORS_PAGE, "")))
    for path, tree in parsed(files, "corral/"):
        for line, cls, code in error_codes(tree):
            if code in seen:
                yield Finding(
                    path, line, f"{cls} has the code {code!r} that {seen[code]} has: choose another one"
                )
            seen.setdefault(code, f"{path}:{cls}")
            if code not in documented:
                yield Finding(
                    path, line, f"code {code!r} is not in {ERRORS_PAGE}: say there what a caller can do"
                )


def error_codes(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, class, code) of each class that derives from an error and sets a code."""
    for cls in ast.walk(tree):
        if not isinstance(cls, ast.ClassDef) or not cls.bases:
            continue
        if not re.match(r"[A-Z][a-z]", dotted(cls.bases[0]).rpartition(".")[2]):
            continue
        for node in cls.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if (
                isinstance(target, ast.Name)
                and target.id == "code"
                and isinstance(value, ast.Constant)
                and isinstance(value.value, str)
            ):
                yield node.lineno, cls.name, value.value


# ---- lock files: hashes, and no place to fetch from


def lock_rule(files: Files) -> Iterator[Finding]:
    """A lock says what, never where from: whoever installs chooses the registry."""
    for path, text in files.items():
        if not path.endswith((".lock", "package-lock.json")):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", line):
                yield Finding(
                    path, number, "names a registry: lock files carry versions and hashes only (`make lock`)"
                )
            if re.match(r"[A-Za-z0-9_.\[\]-]+==[^\\]*$", line):
                yield Finding(
                    path, number, "has no hash: anybody could serve another file under this version"
                )


# ---- a module opens with its room


def docstring_rule(files: Files) -> Iterator[Finding]:
    """A reader learns from the first lines what a file is for."""
    for path, tree in parsed(files, "corral/"):
        if tree.body and ast.get_docstring(tree) is None:
            yield Finding(
                path, 1, "opens without a docstring: say in a line what this file is for (style: rooms)"
            )


# ---- the rest of the machinery


def parsed(files: Files, below: str) -> Iterator[tuple[str, ast.Module]]:
    """Python files of ours below a folder; what is generated is not ours."""
    for path, text in sorted(files.items()):
        if path.startswith(below) and path.endswith(".py") and not re.search(r"_pb2(_grpc)?\.py$", path):
            yield path, ast.parse(text, path)


RULES: Final[tuple[Rule, ...]] = (clock_rule, route_rule, error_rule, lock_rule, docstring_rule)


def read_files() -> dict[str, str]:
    """Text by path of all files that git knows or would add; of the checkout, where there is no git."""
    try:
        listed = subprocess.run(
            ("git", "ls-files", "-co", "--exclude-standard", "corral", "docs", "requirements"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = [
            str(p.relative_to(ROOT))
            for d in ("corral", "docs", "requirements")
            for p in (ROOT / d).rglob("*.*")
        ]
    wanted = (p for p in listed if p.endswith((".py", ".md", ".lock", ".json")))
    return {p: (ROOT / p).read_text(encoding="utf-8") for p in wanted if (ROOT / p).is_file()}


def main() -> int:
    files = read_files()
    findings = [finding for rule in RULES for finding in rule(files)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
