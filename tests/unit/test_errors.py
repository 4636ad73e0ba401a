"""The tree of errors: drawn as it is, and whole after a trip to another process."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest

import dvengine
from dvengine import _errors
from dvengine._errors import DvengineError, MissingExtra, QueryError, Refused, Unavailable, Uncertified

CLASSES = [getattr(_errors, name) for name in _errors.__all__]
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def with_everything(kind: type[DvengineError]) -> DvengineError:
    extra = {}
    if issubclass(kind, QueryError):
        extra["sqlstate"] = "42P01"
    if issubclass(kind, Refused):
        extra["rules"] = ("threshold", "identity-number")
    return kind("what happened", hint="what to do", retryable=True, **extra)


@every_class
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_error_survives_pickling_with_all_it_carries(kind: type[DvengineError], protocol: int) -> None:
    error = with_everything(kind)
    error.partition = 3  # type: ignore[attr-defined]
    error.add_note("while reading 'person'")
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is kind
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))
    assert back.__notes__ == ["while reading 'person'"]


@every_class
def test_error_survives_copying(kind: type[DvengineError]) -> None:
    error = with_everything(kind)
    assert vars(copy.deepcopy(error)) == vars(copy.copy(error)) == vars(error)


@every_class
def test_error_says_what_happened_then_what_to_do(kind: type[DvengineError]) -> None:
    assert str(kind("what happened")).splitlines()[0] == "what happened"
    assert str(kind("what happened", hint="what to do")) == "what happened\n  hint: what to do"
    assert json.loads(json.dumps(with_everything(kind).to_dict())) == {
        "kind": kind.__name__,
        "message": "what happened",
        "hint": "what to do",
        "retryable": True,
    }


def test_every_error_is_public() -> None:
    assert set(_errors.__all__) <= set(dvengine.__all__)
    defined = {
        name
        for name, value in vars(_errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == set(_errors.__all__)
    assert all(getattr(dvengine, kind.__name__) is kind for kind in CLASSES)


def test_the_drawn_tree_is_the_tree() -> None:
    drawn: dict[str, tuple[str | None, set[str]]] = {}
    branch: list[str] = []
    for line in _errors.__doc__.splitlines():
        if found := re.match(r"^    ([│ ]*(?:[├└]── )?)([A-Z]\w+)(?: \(([\w, ]+)\))?(?:\s|$)", line):
            depth = len(found[1]) // 4
            del branch[depth:]
            drawn[found[2]] = (
                branch[-1] if branch else None,
                set(filter(None, (found[3] or "").split(", "))),
            )
            branch.append(found[2])
    real = {}
    for kind in CLASSES:
        ours = [base.__name__ for base in kind.__bases__ if base.__module__ == _errors.__name__]
        builtin = {base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"}
        real[kind.__name__] = (ours[0] if ours else None, builtin - {"Exception"})
    assert drawn == real


@pytest.mark.parametrize(
    ("builtin", "kind"),
    [
        (ValueError, dvengine.ConfigError),
        (ImportError, dvengine.MissingExtra),
        (FileNotFoundError, dvengine.NotFound),
        (PermissionError, dvengine.AccessDenied),
        (ConnectionError, dvengine.Unavailable),
        (RuntimeError, dvengine.StreamConsumed),
    ],
)
def test_who_catches_the_builtin_catches_ours(builtin: type[Exception], kind: type[DvengineError]) -> None:
    with pytest.raises(builtin, match=r"^what happened"):
        raise kind("what happened")


def test_no_error_leaves_its_reader_without_a_hint() -> None:
    assert [kind for kind in CLASSES if not kind("what happened").hint] == [dvengine.DvengineError]


def test_retryable_is_a_fact_of_the_class_unless_said_otherwise() -> None:
    assert [kind for kind in CLASSES if kind("x").retryable] == [Unavailable]
    assert Unavailable("x", retryable=False).retryable is False
    assert QueryError("serialization failure", retryable=True, sqlstate="40001").retryable is True


def test_particulars_default_to_nothing() -> None:
    assert QueryError("x").sqlstate is None
    assert Refused("x").rules == Uncertified("x").rules == ()


def test_missing_extra_holds_the_line_to_run() -> None:
    error = MissingExtra.of("search", "elasticsearch")
    assert error.hint == 'run: pip install "dvengine[search]"'
    assert type(pickle.loads(pickle.dumps(error))) is MissingExtra
