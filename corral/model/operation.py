"""Operation: what a user follows after asking for something."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.resource import Ref, Resource, Trouble


class OperationState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPERATION_STATE_NEXT: Final[Mapping[OperationState, frozenset[OperationState]]] = {
    OperationState.RUNNING: frozenset(
        {OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED}
    ),
    OperationState.SUCCEEDED: frozenset(),
    OperationState.FAILED: frozenset(),
    OperationState.CANCELLED: frozenset(),
}


class Verb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    MIGRATE = "migrate"
    REVERT = "revert"
    PAUSE = "pause"
    RESUME = "resume"
    SUSPEND = "suspend"
    DELETE = "delete"
    ADOPT = "adopt"
    RELEASE = "release"
    SETTLE = "settle"
    REBALANCE = "rebalance"
    DRAIN = "drain"


class Step(Struct, frozen=True, kw_only=True):
    """A part of an operation; noted before it begins."""

    name: str
    started_at: float
    ended_at: float | None = None


class OperationSpec(Struct, frozen=True, kw_only=True):
    verb: Verb
    target: Ref
    generation: int  # of the target, that this asks for
    boot: int = 0  # VMs: VMSpec.boot that this asks for
    by: str = ""  # name of the token that asked
    request_id: str = ""
    deadline_s: float = 600.0  # seconds after created_at at which it fails
    warnings: tuple[str, ...] = ()  # what it costs or risks, for people
    cancel: bool = False  # the user asked to stop it


class OperationStatus(Struct, frozen=True, kw_only=True):
    state: OperationState = OperationState.RUNNING
    progress: float = 0.0  # 0 to 1
    steps: tuple[Step, ...] = ()
    waiting_for: str = ""  # in words, while running
    error: Trouble | None = None
    ended_at: float | None = None
    result: dict[str, str | int | float] = {}  # migrate: source, target, downtime_ms, total_s


class Operation(Resource, frozen=True, kw_only=True, tag="Operation"):
    """A request on its way; ends when its target is as asked, or surely will not be."""

    PREFIX: ClassVar = "op"
    PLURAL: ClassVar = "operations"
    SUMMARY: ClassVar = "a request that is followed until it ends"

    spec: OperationSpec
    status: OperationStatus = OperationStatus()

    @property
    def ended(self) -> bool:
        return self.status.state is not OperationState.RUNNING
