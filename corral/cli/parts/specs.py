"""Specs: what the commands of kinds have in common that are all spec: policies, profiles, groups.

In this room   create_one(), change_one(), delete_one()
Comes in       the plural by which the client knows the kind; what was given on the command line
Goes out       the finished operation, shown
Next door      policy.py, profile.py, group.py say what can be given
"""

from collections.abc import Mapping
from typing import Any

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.options import How, Output
from corral.cli.parts.session import connect

Spec = Mapping[str, Any]


def create_one(plural: str, name: str, labels: Spec, spec: Spec, *, dry_run: bool, output: Output) -> None:
    """Create it, and show how that went."""
    with connect() as client:
        resources = getattr(client, plural).having(dry_run=dry_run)
        operation = resources.create(name=name, labels=labels, spec=spec)
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))


def change_one(plural: str, name: str, spec: Spec, *, dry_run: bool, output: Output) -> None:
    """Change what `spec` says, keep the rest. raises BadParameter: it says nothing"""
    import msgspec

    if not spec:
        raise typer.BadParameter("nothing to set; --help lists what can be")
    with connect() as client:
        resources = getattr(client, plural).having(dry_run=dry_run)
        operation = resources.edit(name, lambda now: {"spec": merged(msgspec.to_builtins(now.spec), spec)})
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))


def delete_one(plural: str, name: str, *, dry_run: bool, output: Output) -> None:
    """Delete it, and show how that went. Whoever is to be asked was asked."""
    with connect() as client:
        operation = getattr(client, plural).having(dry_run=dry_run).delete(name)
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))


def merged(old: Spec, new: Spec) -> dict[str, Any]:
    """`old` with what `new` says, objects inside field by field."""
    both = (
        name for name, value in new.items() if isinstance(value, dict) and isinstance(old.get(name), dict)
    )
    return {**old, **new, **{name: merged(old[name], new[name]) for name in both}}
