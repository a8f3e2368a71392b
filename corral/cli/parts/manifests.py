"""Manifests in files: how `apply`, `diff` and `delete` read them, and how changes are shown.

In this room   documents_in(), change_lines()
Comes in       paths: a file (YAML with any number of documents, or JSON), a directory of such, or - for stdin
Goes out       documents, in the order in which they stand there
Always true    a document that can't be read is named by file and line
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from corral.errors import Invalid

if TYPE_CHECKING:
    from corral.client.manifests import Applied

ENDINGS: Final = (".yaml", ".yml", ".json")
FilesOption = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE", help="Of YAML or JSON, a directory, or - for stdin. Repeatable."
    ),
]
SIGNS: Final = {"create": "+", "update": "~", "unchanged": " ", "refused": "!"}


def documents_in(paths: Sequence[str]) -> list[dict[str, Any]]:
    """Raises  Invalid: no such file, no YAML, not a manifest, or nothing at all"""
    found = [document for path in paths for file in _files(path) for document in _documents(file)]
    if not found:
        raise Invalid(
            "--file", ", ".join(paths), "a file with manifests", hint="Like kind: VM, then name: web …"
        )
    return found


def _files(path: str) -> list[str]:
    if path == "-" or not Path(path).is_dir():
        return [path]
    return [str(file) for file in sorted(Path(path).rglob("*")) if file.suffix in ENDINGS]


def _documents(path: str) -> Iterator[dict[str, Any]]:
    import yaml

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        read = list(yaml.safe_load_all(text))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("--file", path, "a file that can be read", hint=str(error)) from None
    except yaml.YAMLError as error:
        raise Invalid("--file", path, "YAML", hint=" ".join(str(error).split())) from None
    for document in read:
        for item in document if isinstance(document, list) else [document]:
            if item is None:
                continue
            if not isinstance(item, dict):
                raise Invalid(
                    "--file", path, "manifests: objects with a kind", hint=f"Found {str(item)[:60]!r}."
                )
            yield item


def change_lines(applied: Applied) -> Iterator[str]:
    """A manifest's outcome for people: a line for it, and one for each field that changes."""
    yield f"{SIGNS.get(applied.action, '?')} {applied.kind} {applied.name}: {applied.action}"
    for change in applied.changes:
        yield f"    {change.field}: {_shown(change.was)} → {_shown(change.becomes)}"
    if applied.trouble:
        yield f"    {applied.trouble.message} [{applied.trouble.code}]"
        if applied.trouble.hint:
            yield f"    {applied.trouble.hint}"


def _shown(value: Any) -> str:
    import json

    if value is None:
        return "(none)"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
