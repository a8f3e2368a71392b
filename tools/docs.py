#!/usr/bin/env python3
"""Docs: the reference pages that are made from the code.

In this room   PAGES, what is made; `tools/docs.py` writes them, `tools/docs.py --check` says whether they are current
Comes in       corral.errors.ERRORS, filled by importing every module; the commands of corral.cli
Goes out       docs/reference/errors.md, docs/reference/cli.md
Always true    a page says nothing that the code does not: correct it there
Start here     PAGES
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
REFERENCE: Final = ROOT / "docs" / "reference"
NOTE: Final = "<!-- Made by tools/docs.py from the code: correct it there, then run tools/docs.py. -->\n"
WIDTH: Final = 96  # of usage texts
SKIPPED: Final = (
    "corral.proto.",
    "corral.store.migrations.",
)  # made by tools, run by tools: no errors of their own


def errors_page() -> str:
    """Every error: its code, what it means, HTTP status and exit code."""
    from corral.cli.parts.exits import MEANING, exit_code

    lines = [
        "# Errors",
        "",
        NOTE,
        "Every failure has a code. It is the same in the API (`code` of the problem document, RFC 9457), in the status",
        "of resources and operations, in the command line (`error: … [code]`) and in the SDK. A code is never renamed",
        "and never used for something else. Beside it stand a message, mostly a hint that says what to do, and a",
        "`context` with the values at fault; with unexpected ones also the request id, under which the server's log has",
        "the details.",
        "",
        "## Codes",
        "",
        "| code | means | HTTP | exit code | worth trying again |",
        "| --- | --- | --- | --- | --- |",
    ]
    for code, kind in sorted(all_errors().items()):
        meaning = (inspect.getdoc(kind) or "").split("\n")[0]
        again = "yes" if kind.retryable else ""
        lines.append(f"| `{code}` | {_cell(meaning)} | {kind.status} | {int(exit_code(kind))} | {again} |")
    lines += ["", "## Exit codes of the command line", "", "| exit code | means |", "| --- | --- |"]
    lines += [f"| {int(code)} | {meaning} |" for code, meaning in MEANING.items()]
    lines += [
        "",
        "A code that this version does not know, from a newer server, gets the exit code of its HTTP status.",
        "",
    ]
    return "\n".join(lines)


def cli_page() -> str:
    """Every command with its options, as its --help says it."""
    from corral.cli.parts.catalogue import load, nouns

    lines = [
        "# Commands",
        "",
        NOTE,
        "`corral NOUN VERB`. [The guide](../guide/command-line.md) says what they have in common: output, waiting,",
        "contexts, exit codes.",
        "",
        "| noun | for |",
        "| --- | --- |",
        *(f"| [{noun}](#corral-{noun}) | {_cell(summary)} |" for noun, summary in nouns().items()),
        "",
    ]
    for noun in nouns():
        lines += [f"## corral {noun}", ""]
        for path, command in _walk(load(noun), (noun,)):
            if len(path) > 1:
                lines += [f"### corral {' '.join(path)}", ""]
            lines += ["```text", _help(path, command), "```", ""]
    return "\n".join(lines)


PAGES: Final[dict[Path, Callable[[], str]]] = {
    REFERENCE / "errors.md": errors_page,
    REFERENCE / "cli.md": cli_page,
}


def all_errors() -> dict[str, Any]:
    """Error classes by code, of every module there is. raises ImportError: a module's needs are not installed"""
    import corral
    from corral.errors import ERRORS, CorralError

    for module in pkgutil.walk_packages(corral.__path__, "corral."):
        if not module.name.startswith(SKIPPED):
            importlib.import_module(module.name)
    ours = {code: kind for code, kind in ERRORS.items() if kind.__module__.startswith("corral.")}
    return {CorralError.code: CorralError, **ours}


def stale() -> list[Path]:
    """Pages that are not what the code says."""
    return [path for path, make in PAGES.items() if not path.exists() or path.read_text() != make()]


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    verbs = getattr(command, "commands", {})
    if not verbs or command.invoke_without_command:
        yield path, command
    for name, verb in verbs.items():
        yield from _walk(verb, (*path, name))


def _help(path: tuple[str, ...], command: Any) -> str:
    context = command.context_class(
        command, info_name=" ".join(("corral", *path)), max_content_width=WIDTH, terminal_width=WIDTH
    )
    lines = command.get_help(context).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    if "--check" in sys.argv:
        for path in stale():
            print(f"{path.relative_to(ROOT)} is not what the code says: run tools/docs.py")
        return 1 if stale() else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for path in stale():
        path.write_text(PAGES[path]())
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
