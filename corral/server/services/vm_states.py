"""VM states: whether a VM can be asked for something now, and the refusals when it can't."""

from corral.errors import CorralError
from corral.model.vm import VM, DomainState, VMPhase


class VmGoing(CorralError):
    """The VM is being deleted."""

    code = "vm.deleting"
    status = 409

    def __init__(self, vm: VM) -> None:
        super().__init__(f"VM {vm.name} is being deleted", hint="Wait until it is gone.", vm=vm.id)


class NotRunning(CorralError):
    """Only a running VM can do this."""

    code = "vm.not_running"
    status = 409

    def __init__(self, vm: VM) -> None:
        super().__init__(
            f"VM {vm.name} is {vm.status.phase}, not running",
            hint=f"`corral vm start {vm.name}` starts it.",
            vm=vm.id,
            phase=vm.status.phase,
        )


class Migrating(CorralError):
    """The VM is moving to another node."""

    code = "vm.migrating"
    status = 409
    retryable = True

    def __init__(self, vm: VM) -> None:
        super().__init__(
            f"VM {vm.name} is migrating", hint="Wait until it has arrived, or cancel the migration.", vm=vm.id
        )


class StillHeld(CorralError):
    """The guest has not let go yet of what was taken from it."""

    code = "vm.still_held"
    status = 409
    retryable = True

    def __init__(self, vm: VM, what: str = "a device") -> None:
        super().__init__(
            f"the guest of {vm.name} has not let go of {what} yet",
            hint=f"`corral vm pending {vm.name}` shows what is waited for; --force ends it.",
            vm=vm.id,
        )


def runs(vm: VM) -> bool:
    """Whether its node says that it runs. A VM on a silent node is not known to."""
    report = vm.report
    return (
        vm.status.phase is not VMPhase.UNKNOWN and report is not None and report.state is DomainState.RUNNING
    )
