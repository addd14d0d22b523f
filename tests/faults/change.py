"""Changing what a loaded engine does in one place: a function, or one step inside of another function, is replaced.

Functions are named as objects, not as text: what is renamed or moved is found by the type checker, and what is only
written differently needs no change here.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, TypeVar
from unittest.mock import patch

_Value = TypeVar("_Value", bound=str | int)


@dataclass(frozen=True, slots=True)
class Change:
    """Calls of `step`, a function or a property, become calls of `by`.

    `by` is given the step as it was, and then what the step would be given.
    """

    step: Any
    by: Callable[..., Any]
    inside: Callable[..., Any] | None = None
    """Only calls that this function makes itself; None for everybody's."""
    of: str | None = None
    """Only calls whose first argument is the value of this variable of that function."""


def left_out(step: Any, inside: Callable[..., Any] | None = None, of: str | None = None) -> Change:
    """The step is not done."""
    return Change(step, lambda *_args, **_options: None, inside, of)


def says(step: Any, value: object, inside: Callable[..., Any] | None = None) -> Change:
    """The step is not done, and its result is always the same."""
    return Change(step, lambda *_args, **_options: value, inside)


def in_place_of(step: Any, by: Callable[..., Any], inside: Callable[..., Any] | None = None) -> Change:
    """Another function that takes the same, and does not need the step."""
    return Change(step, lambda _real, *args, **options: by(*args, **options), inside)


def then(step: Any, alter: Callable[[Any], Any], inside: Callable[..., Any] | None = None) -> Change:
    """The step is done, and its result altered."""
    return Change(step, lambda real, *args, **options: alter(real(*args, **options)), inside)


def agreeing(value: _Value) -> _Value:
    """The same value, but equal to every other one."""
    kind: type[Any] = type(value)
    always = {"__eq__": lambda *_: True, "__ne__": lambda *_: False, "__hash__": kind.__hash__}
    agreed: _Value = type("Agreeing", (kind,), always)(value)
    return agreed


def apply(*changes: Change) -> ExitStack:
    """Change what is loaded, until the stack that is returned is closed.

    Raises:
        ValueError: a change names a step that its function does not take, or a variable that it does not have.
    """
    with ExitStack() as stack:
        for change in changes:
            _check(change)
            for holder, name, value in list(_held(change)):
                stack.enter_context(patch.object(holder, name, value))
        return stack.pop_all()


def _check(change: Change) -> None:
    if change.inside is None:
        return
    codes = _codes(change.inside)
    step = _function(change.step).__name__
    if not any(step in code.co_names for code in codes):
        raise ValueError(f"{change.inside.__qualname__} does not take the step {step}")
    if change.of is not None and not any(change.of in (*code.co_varnames, *code.co_freevars) for code in codes):
        raise ValueError(f"{change.inside.__qualname__} has no variable {change.of}")


def _held(change: Change) -> Iterator[tuple[object, str, object]]:
    """Where the step is held, under which name, and what is to be there in its place."""
    real = _function(change.step)
    replaced = _replacement(change, real)
    if isinstance(change.step, property):
        yield _class_of(real), real.__name__, property(replaced)
    elif "." in real.__qualname__:
        yield _class_of(real), real.__name__, replaced
    else:
        for module in list(sys.modules.values()):
            for name, value in list(vars(module).items()):
                if value is real:
                    yield module, name, replaced


def _replacement(change: Change, real: Callable[..., Any]) -> Callable[..., Any]:
    codes = _codes(change.inside) if change.inside else None

    def is_meant(caller: FrameType, args: tuple[Any, ...]) -> bool:
        if codes is None:
            return True
        return caller.f_code in codes and (change.of is None or args[0] == caller.f_locals[change.of])

    @functools.wraps(real)
    def changed(*args: Any, **options: Any) -> Any:
        if is_meant(sys._getframe(1), args):
            return change.by(real, *args, **options)
        return real(*args, **options)

    return changed


def _function(step: Any) -> Any:
    return step.fget if isinstance(step, property) else step


def _class_of(method: Callable[..., Any]) -> object:
    holder: object = sys.modules[method.__module__]
    for name in method.__qualname__.split(".")[:-1]:
        holder = getattr(holder, name)
    return holder


def _codes(function: Callable[..., Any]) -> frozenset[CodeType]:
    """The code of a function, and of what is defined inside of it, as generator expressions are."""
    found: list[CodeType] = []
    pending = [inspect.unwrap(function).__code__]
    while pending:
        code = pending.pop()
        found.append(code)
        pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return frozenset(found)
