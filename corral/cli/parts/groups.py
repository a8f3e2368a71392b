"""Groups: options that several commands take together, written once.

In this room   grouped(), which puts the options of a function in the place of one parameter
Comes in       a function whose parameters are options, like hardware_body(): what it returns is the parameter's value
Goes out       a command as Typer reads it, with all options in its signature
Always true    order and words of the help are as if the options stood in the command itself
Start here     grouped()
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

R = TypeVar("R")
GIVEN: Final[Any] = MappingProxyType({})  # stands where the options of a group will


def grouped(**groups: Callable[..., Any]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """For a function with a parameter of each of these names, whose default is GIVEN.

    @grouped(hardware=hardware_body)
    def create(name: str, hardware: Mapping[str, Any] = GIVEN) -> None: …
    """
    options = {name: inspect.signature(group, eval_str=True).parameters for name, group in groups.items()}

    def with_options(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def called(**given: Any) -> R:
            made = {
                name: groups[name](
                    **{option: given.pop(option) for option in options[name] if option in given}
                )
                for name in groups
            }
            return command(**given, **made)

        own = inspect.signature(command, eval_str=True)
        parameters = list(_spliced(own.parameters, options))
        called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return with_options


def _spliced(
    own: Mapping[str, inspect.Parameter], options: Mapping[str, Mapping[str, inspect.Parameter]]
) -> Iterator[inspect.Parameter]:
    """All of one kind: Typer calls by name."""
    for name, parameter in own.items():
        assert (parameter.default is GIVEN) is (name in options), (
            f"the default of {name}, and only that, is GIVEN"
        )
        for option in options.get(name, {name: parameter}).values():
            yield option.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
