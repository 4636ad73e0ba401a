"""Every error that dvengine raises on purpose, one branch per reaction of the caller.

    DvengineError                    carries ``hint`` (what to do) and ``retryable`` (would the same call later help?)
    ├── InputError (ValueError)      your call, file or settings; mend it and call again
    │   ├── ConfigError              an alias, scheme or setting is missing or wrong
    │   ├── QueryError               the source refused the statement (``sqlstate``)
    │   ├── TypeMapError             a type or value has no exact counterpart
    │   ├── TableError               a table to be tabulated or suppressed is not what it must be
    │   └── DescriptorError          a package descriptor is not valid
    ├── MissingExtra (ImportError)   an optional part is not installed; the hint is the line to run
    ├── NotFound (FileNotFoundError) the named thing is not there
    ├── AccessDenied (PermissionError)
    ├── Conflict                     the target already holds another thing, or another writer won
    │   └── AlreadyExists            a create-only write found the key taken
    ├── Refused                      the safety rules say no; retrying cannot help
    │   └── Uncertified              a table could not be proven safe against the attacker asked for
    ├── Unavailable (ConnectionError)  a server or store did not answer; try again
    ├── Incomplete                   fewer rows, bytes or parts than the source has; nothing was given out as whole
    ├── VerificationFailed           stored bytes differ from what was promised
    ├── NotSupported                 this back end cannot do that, and we do not imitate it
    ├── StreamConsumed (RuntimeError)  a single-use stream was read twice
    └── Cancelled                    somebody asked to stop

Messages name things (tables, columns, rules, aliases); they never hold values, SQL or secrets.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "Cancelled",
    "ConfigError",
    "Conflict",
    "DescriptorError",
    "DvengineError",
    "Incomplete",
    "InputError",
    "MissingExtra",
    "NotFound",
    "NotSupported",
    "QueryError",
    "Refused",
    "StreamConsumed",
    "TableError",
    "TypeMapError",
    "Unavailable",
    "Uncertified",
    "VerificationFailed",
]


_context: Any = BaseException.__dict__["__context__"]


class DvengineError(Exception):
    """The root: catch this to catch everything that dvengine raises on purpose.

    Args:
        message: What happened, in one line, without values, SQL or secrets.
        hint: What to do about it; None takes the class's own, general one.
        retryable: Whether the same call may succeed later; None takes the class's own fact.

    Example:
        >>> error = DvengineError("no such alias: 'registri'", hint="did you mean 'registry'?")
        >>> print(error)
        no such alias: 'registri'
          hint: did you mean 'registry'?
    """

    _retryable: ClassVar[bool] = False
    _hint: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self._hint if hint is None else hint
        self.retryable = self._retryable if retryable is None else retryable

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling cls(*args), which would lose the keyword-only fields.
        return (
            _rebuild,
            (type(self), self.message, {k: v for k, v in self.__dict__.items() if k != "message"}),
        )

    @property
    def __context__(self) -> BaseException | None:
        # Raised `from None`, it hides a driver's error, whose text may hold values, from every reader: also from a logger
        # that walks the chain itself.
        return None if self.__suppress_context__ else _context.__get__(self)

    @__context__.setter
    def __context__(self, error: BaseException | None) -> None:
        _context.__set__(self, error)

    @property
    def kind(self) -> str:
        """The class's name, as machines read it in ``--json``."""
        return type(self).__name__

    def to_dict(self) -> dict[str, object]:
        """Return kind, message, hint and retryable, ready for JSON."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, "retryable": self.retryable}


def _rebuild(cls: type[DvengineError], message: str, state: dict[str, Any]) -> DvengineError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.message = message
    error.__dict__.update(state)
    return error


class InputError(DvengineError, ValueError):
    """The call, a file or a setting is wrong; mend it and call again."""

    _hint = "mend the call, the file or the setting, and call again"


class ConfigError(InputError):
    """An alias, a URL scheme or a setting is missing or wrong."""


class QueryError(InputError):
    """The source refused the statement, or a named table or column is not there.

    Attributes:
        sqlstate: The five-character SQLSTATE where the source gave one, else None.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.sqlstate = sqlstate


class TypeMapError(InputError):
    """A type or a value has no exact counterpart; the message names the column, never the value."""


class TableError(InputError):
    """A table to be tabulated, suppressed or audited is not what it must be."""


class DescriptorError(InputError):
    """A package descriptor, resource or view is not valid."""


class MissingExtra(DvengineError, ImportError):
    """An optional part is not installed; the hint is the line to run."""

    _hint = 'run: pip install "dvengine[all]"'

    @classmethod
    def of(cls, extra: str, library: str) -> MissingExtra:
        """Build the error for a library that belongs to one of our extras."""
        return cls(f"{library} is not installed", hint=f'run: pip install "dvengine[{extra}]"')


class NotFound(DvengineError, FileNotFoundError):
    """The named thing is not there."""

    _hint = "check the name, and where it is looked for"


class AccessDenied(DvengineError, PermissionError):
    """The server or store knows us but says no, or does not accept the credentials."""

    _hint = "check the credentials and what they allow; `dvengine doctor` shows where they come from"


class Conflict(DvengineError):
    """The target already holds another thing, or another writer won the race."""

    _hint = "choose another target, or see who else writes there"


class AlreadyExists(Conflict):
    """A create-only write found the key taken."""


class Refused(DvengineError):
    """The safety rules say no. Retrying cannot help; changing the data or giving a reason can.

    Attributes:
        rules: The names of the rules that said no.
    """

    _hint = "change what is to go out, or give a reason where one is taken"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool | None = None,
        rules: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.rules = rules


class Uncertified(Refused):
    """A table could not be proven safe against the attacker asked for."""


class Unavailable(DvengineError, ConnectionError):
    """A server or a store did not answer, or went away; trying again may help."""

    _hint = "try again later; what was begun has left nothing half done"

    _retryable = True


class Incomplete(DvengineError):
    """Fewer rows, bytes or parts than the source has; nothing was given out as whole."""

    _hint = "nothing was given out; run it again, and report it if it happens twice"


class VerificationFailed(DvengineError):
    """Stored bytes, counts or proofs differ from what the manifest promises."""

    _hint = "do not use these bytes; make them anew from the source"


class NotSupported(DvengineError):
    """This back end cannot do that, and dvengine does not imitate it."""

    _hint = "another back end may; the documentation's support table says which"


class StreamConsumed(DvengineError, RuntimeError):
    """A single-use stream was read twice."""

    _hint = "read the dataset again; a stream is single-use"


class Cancelled(DvengineError):
    """Somebody asked to stop."""

    _hint = "run it again when you want it whole"
