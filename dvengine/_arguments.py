"""One boundary for arguments of the wrong type: the annotations of a public function are what it holds its caller to.

Without it a wrong type surfaces somewhere inside, as an error that is not ours, or runs on as something it was not meant to be.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dvengine._errors import DvengineError, InputError

__all__ = ["is_whole", "typed"]

F = TypeVar("F", bound=Callable[..., Any])

#: No name, path or word that people give is longer, and below it no operating system or engine chokes.
_LONGEST = 10_000
_LARGEST = 2**63 - 1


def typed(error: type[DvengineError] = InputError, *, texts: Sequence[str] = ()) -> Callable[[F], F]:
    """Check each argument against its annotation before the function runs.

    Guarantees: an argument of another type is an ``error`` that names the argument and never repeats its value; arguments of
    the right type pass as they are. What an annotation cannot say (a range, a name that must exist) is the function's business.

    Args:
        error: What to raise.
        texts: Parameters whose text may be of any length, such as a query.

    Example:
        >>> @typed()
        ... def halve(number: int) -> int:
        ...     return number // 2
        >>> halve("4")
        Traceback (most recent call last):
        ...
        dvengine._errors.InputError: halve: number must be a whole number, not str
          hint: see help(halve)
    """

    def wrap(function: F) -> F:
        signature = inspect.signature(function)
        name = function.__qualname__.removesuffix(".__init__")
        expected: dict[str, Any] = {}

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if not expected:
                expected.update(_hints(function))
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:
                return function(
                    *args, **kwargs
                )  # Python's own words name the argument that is missing or unknown
            for parameter, value in given.items():
                wanted = expected.get(parameter, Any)
                if signature.parameters[parameter].kind in (
                    inspect.Parameter.VAR_KEYWORD,
                    inspect.Parameter.VAR_POSITIONAL,
                ):
                    continue
                long = parameter in texts
                if not _fits(value, wanted, long=long):
                    raise error(
                        f"{name}: {parameter} {_complaint(value, wanted, long=long)}",
                        hint=_hint(name, parameter, value, wanted),
                    )
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return wrap


class _AnyName(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unseen


class _Unseen(metaclass=_AnyName):
    """What a name stands for that only a type checker imports; nothing is held to it."""


def is_whole(made: Any) -> bool:
    """Whether every field of a dataclass that was made of foreign data is of the type it is annotated with.

    Example:
        >>> from dataclasses import make_dataclass
        >>> Row = make_dataclass("Row", [("rows", int)])
        >>> is_whole(Row(1)), is_whole(Row("1"))
        (True, False)
    """
    hints = get_type_hints(type(made))
    return all(_fits(getattr(made, field.name), hints[field.name], long=True) for field in fields(made))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    unknown: dict[str, Any] = {}
    while True:
        try:
            return {"return": Any, **get_type_hints(function, localns=unknown)}
        except NameError as missing:
            unknown[missing.name or ""] = _Unseen


def _fits(value: object, wanted: Any, *, long: bool = False) -> bool:
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted in (Any, object, _Unseen) or isinstance(wanted, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one, long=long) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if wanted is None or wanted is type(None):
        return value is None
    if wanted is str:
        return isinstance(value, str) and (long or len(value) <= _LONGEST)
    if wanted is bool:
        return isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's own
    if wanted is int:
        return type(value) is not bool and isinstance(value, Integral) and abs(int(value)) <= _LARGEST
    if wanted is float:
        return type(value) is not bool and isinstance(value, Real) and not math.isnan(value)
    kind = origin or wanted
    if kind is Callable or wanted is Callable:
        return callable(value)
    if kind in (Sequence, Iterable):
        return _is_row(value, once=kind is Iterable) and (
            isinstance(value, Iterator) or not inner or all(_fits(one, inner[0], long=long) for one in value)  # type: ignore[attr-defined]
        )
    if kind is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(one, inner[0], long=long) for one in value)
    if kind in (Mapping, dict):
        return isinstance(value, Mapping) and (
            not inner or all(_fits(k, inner[0]) and _fits(v, inner[1], long=long) for k, v in value.items())
        )
    if not isinstance(kind, type) or kind.__module__ == "typing" or not _checkable(kind):
        return True
    return isinstance(value, kind)


def _checkable(kind: type) -> bool:
    return not getattr(kind, "_is_protocol", False) or bool(getattr(kind, "_is_runtime_protocol", False))


def _is_row(value: object, *, once: bool) -> bool:
    """Whether this is several things: also a set, a NumPy array or a pandas index, and where it is read once an iterator."""
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        return False
    return once or not isinstance(value, Iterator)


def _said(wanted: Any) -> str:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        parts = [_said(one) for one in inner]
        return ", ".join(parts[:-1]) + f" or {parts[-1]}"
    if origin is Literal:
        return " or ".join(map(repr, inner)) if len(inner) < 3 else "one of " + ", ".join(map(repr, inner))
    kind = origin or wanted
    if kind in (Sequence, Iterable):
        return "a list" + (f", each {_said(inner[0])}" if inner and _named(inner[0]) else "")
    if kind is Mapping:
        keys = f" from {_said(inner[0])}" if inner and _named(inner[0]) else ""
        return "a mapping" + keys + (f" to {_said(inner[1])}" if inner and _named(inner[1]) else "")
    return _WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")


_WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
    Callable: "a function",
}


def _named(wanted: Any) -> bool:
    return wanted is not Any and wanted is not object


def _complaint(value: object, wanted: Any, *, long: bool) -> str:
    if isinstance(value, str) and not long and len(value) > _LONGEST and _fits("", wanted):
        return f"is a text of {len(value):,} characters"
    if type(value) is not bool and isinstance(value, Integral) and _fits(0, wanted):
        return "is too large a number"
    if isinstance(value, float) and math.isnan(value):
        return f"must be {_said(wanted)}, not NaN"
    # Of a right container with something else in it, the container is not worth naming; values never are.
    inside = (
        isinstance(value, Iterable)
        and not isinstance(value, (str, bytes))
        and any(word in _said(wanted) for word in ("each", "from"))
    )
    literal = get_origin(wanted) is Literal and isinstance(value, str)
    return f"must be {_said(wanted)}" + ("" if inside or literal else f", not {type(value).__name__}")


def _hint(name: str, parameter: str, value: object, wanted: Any) -> str:
    kinds = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    if isinstance(value, str) and any((get_origin(k) or k) in (Sequence, Iterable) for k in kinds):
        return f"a list also where there is one: {parameter}=[…]"
    return f"see help({name})"
