"""What adds up to what: the classification columns, their totals and hierarchies. The choice and the audit share only this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from dvengine._errors import TableError

__all__ = ["Axis", "Structure", "code_column", "hierarchy_of"]

Code = str | None
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """The codes of one classification column in reading order: the total first, each parent before its children.

    Attributes:
        codes: Every code, null included where the data holds it; ``codes[0]`` is the total.
        parent: Shape (n_codes,); the place of each code's parent, -1 for the total.
        depth: Shape (n_codes,); 0 for the total.
    """

    codes: tuple[Code, ...]
    parent: Index
    depth: Index

    def lineage(self) -> tuple[Index, Index]:
        """Return (descendant, ancestor) pairs of places; every code is its own ancestor."""
        below = [np.arange(len(self.codes), dtype=np.int64)]
        above = [below[0]]
        while True:
            up = self.parent[above[-1]]
            keep = up >= 0
            if not keep.any():
                return np.concatenate(below), np.concatenate(above)
            below.append(below[-1][keep])
            above.append(up[keep])

    @property
    def leaf(self) -> npt.NDArray[np.bool_]:
        """Which codes nothing lies below; the total is a leaf only where it stands alone."""
        mask = np.ones(len(self.codes), dtype=np.bool_)
        mask[self.parent[self.parent >= 0]] = False
        return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The classification columns of a table and what adds up to what along each.

    Along every column, each parent code is the sum of its children and the total is the sum of the top codes. A null is
    a category of its own directly below the total. The structure goes into the package's descriptor, so that a stranger
    can audit the published table with nothing else in hand.

    Args:
        by: The classification columns.
        total: The label of the total in each of them; no code may be equal to it.
        hierarchies: For a column, child code -> parent code, any number of levels, of any depth per branch. A parent that is
            nobody's child lies directly below the total; a lowest code that does is given with the total as its parent.
            Columns not named here are flat.
        measure: The column of counts.
        values: Further additive columns, hidden wherever the count is hidden.

    Raises:
        TableError: A column named twice or not in ``by``; a cycle; a code that is its own parent (the same code text at two
            levels); a code that equals the total label.

    Example:
        >>> place = Structure(by=("kommune",), hierarchies={"kommune": {"0301": "03", "1101": "11", "1103": "11"}})
        >>> place.axis("kommune", ["0301", "1101"]).codes
        ('total', '03', '0301', '11', '1101', '1103')
        >>> Structure.from_dict(place.to_dict()) == place
        True
    """

    by: tuple[str, ...]
    total: str = "total"
    hierarchies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    measure: str = "n"
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.by, self.measure, *self.values]
        if not self.by:
            raise TableError("a table needs at least one classification column", hint="name them in by=[…]")
        if len(set(names)) != len(names):
            raise TableError(
                f"a column is named twice among {names}", hint="each column has one part to play in a table"
            )
        for column in self.hierarchies:
            if column not in self.by:
                raise TableError(
                    f"there is a hierarchy for {column!r}, which is not a classification column",
                    hint=f"the columns are {list(self.by)}",
                )
        for name, tree in self.hierarchies.items():
            self._check(name, tree)
        object.__setattr__(
            self, "hierarchies", {name: dict(tree) for name, tree in self.hierarchies.items() if tree}
        )

    def _check(self, column: str, tree: Mapping[str, str]) -> None:
        if self.total in tree:
            raise TableError(
                f"a code in the hierarchy of {column!r} equals the total label {self.total!r}",
                hint="choose another label with total=…",
            )
        for child, parent in tree.items():
            if not isinstance(child, str) or not isinstance(parent, str):
                raise TableError(
                    f"the hierarchy of {column!r} holds codes that are not text",
                    hint="give child and parent as text, with their leading zeros",
                )
            if child == parent:
                raise TableError(
                    f"a code in the hierarchy of {column!r} is its own parent",
                    hint="the same code text at two levels is two things: give one of them another code, "
                    "for instance a prefix for the upper level",
                )
        for start in tree:
            code: str | None = start
            for _ in range(len(tree) + 1):
                code = tree.get(code) if code is not None else None
                if code is None or code == self.total:
                    break
            else:
                raise TableError(
                    f"the hierarchy of {column!r} has a cycle",
                    hint="each chain of parents must end at the top",
                )

    def axis(self, column: str, codes: Iterable[Code]) -> Axis:
        """Return the codes of a column in reading order, with those of its hierarchy that the data does not hold.

        Args:
            column: One of ``by``.
            codes: Those seen in the data, in the order in which siblings shall stand (in a hierarchy they are sorted);
                the total may be among them.

        Raises:
            TableError: A code of the data is not in the column's hierarchy.
        """
        tree = self.hierarchies.get(column, {})
        seen = dict.fromkeys(code for code in codes if code != self.total)
        if tree:
            nodes = {code for pair in tree.items() for code in pair} - {self.total}
            unknown = sum(code is not None and code not in nodes for code in seen)
            if unknown:
                raise TableError(
                    f"{unknown} code(s) of {column!r} are not in its hierarchy",
                    hint="mend the codes (leading zeros lost?), or add them; one directly below the total has the total as parent",
                )
            seen = dict.fromkeys([*sorted(nodes), *(code for code in seen if code is None)])
        children: dict[Code, list[Code]] = {}
        for code in seen:
            up = tree.get(code) if code is not None else None
            children.setdefault(self.total if up is None else up, []).append(code)
        order: list[Code] = []
        parent: list[int] = []
        depth: list[int] = []
        stack: list[tuple[Code, int, int]] = [(self.total, -1, 0)]
        while stack:
            code, up_at, level = stack.pop()
            here = len(order)
            order.append(code)
            parent.append(up_at)
            depth.append(level)
            if code is not None:
                stack.extend((below, here, level + 1) for below in reversed(children.get(code, ())))
        return Axis(tuple(order), np.asarray(parent, dtype=np.int64), np.asarray(depth, dtype=np.int64))

    def to_dict(self) -> dict[str, Any]:
        """Return the structure as plain data, ready for JSON."""
        return {
            "by": list(self.by),
            "total": self.total,
            "hierarchies": {name: dict(tree) for name, tree in self.hierarchies.items()},
            "measure": self.measure,
            "values": list(self.values),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Structure:
        """Rebuild a structure from `to_dict`.

        Raises:
            TableError: A part is missing or not what it must be.
        """
        try:
            return cls(
                by=tuple(data["by"]), total=data["total"], hierarchies=data["hierarchies"],
                measure=data["measure"], values=tuple(data["values"]),
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError):
            raise TableError(
                "this is not the description of a table's structure",
                hint="it has by, total, hierarchies, measure and values, as Structure.to_dict() gives them",
            ) from None


def code_column(column: pl.Series, *, total: str, holds_total: bool) -> pl.Series:
    """Return a classification column as text, null kept as a category.

    Raises:
        TableError: A type that has no exact text (floats, nested, binary), or, unless ``holds_total``, a value equal to
            the total label.
    """
    name, dtype = column.name, column.dtype
    if (
        dtype == pl.Null
        or dtype.is_integer()
        or dtype in (pl.Boolean, pl.Date)
        or isinstance(dtype, (pl.Categorical, pl.Enum))
    ):
        column = column.cast(pl.String)
    elif dtype != pl.String:
        raise TableError(
            f"{name!r} is {dtype}, which cannot be a classification column",
            hint="band or cast it to text first, so that its codes are written as you want them read",
        )
    if not holds_total and (column == total).any():
        raise TableError(
            f"a value of {name!r} equals the total label {total!r}", hint="choose another label with total=…"
        )
    return column


def hierarchy_of(column: str, given: Any, *, total: str) -> dict[str, str]:
    """Return child -> parent from a mapping or from a frame of two columns, child and parent (null: the total).

    Raises:
        TableError: A child with two parents; a child that is null; not two columns.
    """
    if isinstance(given, Mapping):
        return dict(given)
    try:
        frame = given if isinstance(given, pl.DataFrame) else pl.DataFrame(given)
    except Exception:  # noqa: BLE001 - Polars' own text may hold codes
        raise TableError(
            f"the hierarchy of {column!r} is a {type(given).__name__}, not a mapping or a table",
            hint="give child -> parent, or a frame of two columns, child and parent",
        ) from None
    if frame.width != 2:
        raise TableError(
            f"the hierarchy of {column!r} has {frame.width} columns", hint="give two: child and parent"
        )
    pairs = frame.unique()
    child, parent = (code_column(part, total="", holds_total=True) for part in pairs.get_columns())
    if child.null_count():
        raise TableError(
            f"the hierarchy of {column!r} has a null among its children",
            hint="a null in the data is a category of its own directly below the total",
        )
    twice = len(child) - child.n_unique()
    if twice:
        raise TableError(
            f"{twice} code(s) in the hierarchy of {column!r} have two parents",
            hint="a code has one parent in a hierarchy; overlapping groupings are not yet supported",
        )
    return dict(zip(child.to_list(), parent.fill_null(total).to_list(), strict=True))
