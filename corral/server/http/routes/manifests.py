"""Routes of manifests: resources as people write them down."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import get, post
from litestar.params import FromPath
from msgspec import Struct

from corral.errors import Invalid, NotFound
from corral.model.resource import Trouble
from corral.server.http.about import CHANGING, CONSISTENT, PROJECT, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.bodies import MissingField, decode_body
from corral.server.http.changing import hear
from corral.server.http.queries import ApiRequest, Query
from corral.server.services.asking import Asking
from corral.server.services.manifests import Applied, Document, Manifests, declared_kind, manifest_of
from corral.server.services.manifests.applying import Action

DOCUMENTS_MAX = 1000  # in one request
MANIFEST = {
    "kind": "VM",
    "name": "web",
    "cpus": 2,
    "memory": "2GiB",
    "disks": [{"image": "debian-12", "size": "20GiB"}],
}


class Apply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /apply: manifests, each with `kind` and the fields of the request that creates one."""

    documents: tuple[dict[str, Any], ...]


class AppliedAll(Struct, frozen=True, kw_only=True):
    """What was done about each document, in their order."""

    results: tuple[Applied, ...]


@post("/apply", status_code=200, **about("Manifests", body=Apply, answers=AppliedAll, parameters=CHANGING,
                                         examples={"one VM": {"documents": [MANIFEST]}}, errors=(Invalid,)))  # fmt: skip
async def apply(request: ApiRequest) -> Answer:
    """Make what these manifests say: create what is missing, change what is different, leave the rest as it is.

    Each document stands for itself; a refused one has `trouble`, and stops no other. `dry_run=true` shows the
    changes. Fields that a manifest leaves out stay as they are.
    """
    ask, asking, _ = await hear(request, Apply)
    if len(ask.documents) > DOCUMENTS_MAX:
        raise Invalid("documents", len(ask.documents), f"at most {DOCUMENTS_MAX} documents")
    return answer_json(
        AppliedAll(results=await apply_documents(api_of(request).services.manifests, ask.documents, asking))
    )


async def apply_documents(
    manifests: Manifests, documents: Sequence[dict[str, Any]], asking: Asking
) -> tuple[Applied, ...]:
    """What was done about each of them; those that can't be read are refused."""
    read = [_read(document) for document in documents]
    done = iter(await manifests.apply([d for d in read if isinstance(d, Document)], asking))
    return tuple(next(done) if isinstance(d, Document) else d for d in read)


def _read(document: dict[str, Any]) -> Document | Applied:
    """The document, checked; or why it can't be applied."""
    name = document.get("name")
    try:
        if not isinstance(document.get("kind"), str):
            raise MissingField(
                "kind", document.get("kind", ""), "the kind of the resource", hint="Like kind: VM."
            )
        declared = declared_kind(document["kind"])
        if not isinstance(name, str):
            raise MissingField("name", name or "", "a text", hint="The field is required.")
        said = {field: value for field, value in document.items() if field != "kind"}
        known = said if declared.create else {f: v for f, v in said.items() if f != "name"}
        body = decode_body(msgspec.json.encode(known), declared.create or declared.update)
        project = said.get("project", "default")
        return Document(declared=declared, name=name, project=project, said=said, body=body)
    except Invalid as error:
        return Applied(
            kind=str(document.get("kind", "")),
            name=str(name or ""),
            action=Action.REFUSED,
            trouble=Trouble.of(error),
        )


@get("/manifests/{kind:str}/{name:str}", **about("Manifests", answers=dict, parameters=(CONSISTENT, PROJECT),
                                                  errors=(Invalid, NotFound)))  # fmt: skip
async def get_manifest(request: ApiRequest, kind: FromPath[str], name: FromPath[str]) -> Answer:
    """Show the manifest of a resource. Applying it changes nothing; edited, it makes the edits."""
    api, query = api_of(request), Query(request, ("consistent", "project"))
    if query.flag("consistent"):
        await api.core.read_barrier()
    declared = declared_kind(kind)
    found = api.mirror.find(declared.kind, name, query.text("project", "default"))
    return answer_json(manifest_of(found, declared, api.mirror))


ROUTES = [apply, get_manifest]
