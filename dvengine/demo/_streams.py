"""Counter-based random numbers: what chunk c of a table holds depends on (seed, table, c) and on nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHUNK", "choose", "permute", "splitmix", "stream"]

#: Rows of `person` in one chunk: the unit that can be drawn alone, in any order, by anybody.
CHUNK = 100_000

_FEISTEL_HALF = 12  # bits: a network over 2^24 > 10 million positions
_MASK64 = (1 << 64) - 1


def _mix(number: int) -> int:
    """Splitmix64's finaliser on a Python integer."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK64
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK64
    return number ^ (number >> 31)


def splitmix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix each 64-bit value well (splitmix64's finaliser): a fixed bijection, no secret."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)


def stream(seed: int, table: str, chunk: int) -> np.random.Generator:
    """Return the generator of one chunk of one table.

    Example:
        >>> float(stream(1, "person", 7).random()) == float(stream(1, "person", 7).random())
        True
    """
    name = 0
    for byte in table.encode():
        name = _mix(name ^ byte)
    # The chunk sits in the counter's highest word: streams of one key can never run into each other.
    return np.random.Generator(np.random.Philox(key=[_mix(seed), name], counter=[0, 0, 0, chunk]))


def permute(rows: NDArray[np.int64], *, size: int, seed: int) -> NDArray[np.int64]:
    """Map row numbers to positions by a keyed bijection of 0 … size − 1 (a Feistel network that walks its cycles).

    Args:
        rows: Row numbers, each in 0 … size − 1.
        size: How many positions; at most 2^24.
        seed: The key.
    """
    if size > 1 << (2 * _FEISTEL_HALF):
        raise ValueError("size is at most 2^24")
    half, mask = np.uint64(_FEISTEL_HALF), np.uint64((1 << _FEISTEL_HALF) - 1)
    keys = [np.uint64(_mix(seed ^ (0xFE15 + r))) for r in range(6)]
    out = rows.astype(np.uint64)
    pending = np.arange(out.size)
    while pending.size:
        left, right = out[pending] >> half, out[pending] & mask
        for key in keys:
            left, right = right, left ^ (splitmix(right ^ key) & mask)
        out[pending] = moved = (left << half) | right
        pending = pending[moved >= size]
    return out.astype(np.int64)


def choose(uniform: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Turn uniform numbers into indices with the given weights (they need not sum to 1)."""
    edges = np.cumsum(weights)
    return np.searchsorted(edges[:-1] / edges[-1], uniform, side="right")
