"""Routes of API tokens. For admins only."""

from litestar import delete, post
from litestar.params import FromPath

from corral.errors import Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.model.token import Role, Token
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.issued import NewToken
from corral.server.http.present import in_lists
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import CreateToken

EXAMPLES = {
    "for a dashboard": {"name": "dashboard", "role": "viewer"},
    "for a week": {"name": "pipeline", "role": "operator", "ttl_s": 604800},
}


@post("/tokens", **about("Tokens", role=Role.ADMIN, body=CreateToken, examples=EXAMPLES, status=201, answers=NewToken,
                         parameters=CHANGING, errors=(Invalid, NameTaken)))  # fmt: skip
async def create_token(request: ApiRequest) -> Answer:
    """Make an API token. The answer shows its secret; nobody can see it again."""
    ask, asking, _ = await hear(request, CreateToken)
    token, secret = await api_of(request).services.tokens.create(ask, asking)
    return answer_json(NewToken(resource=in_lists(token), secret=secret), 200 if asking.dry_run else 201)


@delete("/tokens/{tok:str}", status_code=202, **about("Tokens", role=Role.ADMIN, answers=Operation, status=202,
                                                      parameters=CHANGING_ONE,
                                                      errors=(NotFound, PreconditionFailed)))  # fmt: skip
async def delete_token(request: ApiRequest, tok: FromPath[str]) -> Answer:
    """Revoke an API token, at once and for good."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.tokens.delete(tok, asking), asking)


ROUTES = [*reading(Token, tag="Tokens", role=Role.ADMIN), create_token, delete_token]
