"""Keyed pseudonyms: the same identity gets the same token in every table, and without the key nobody can make one."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from dvengine._arguments import typed
from dvengine._errors import ConfigError, InputError
from dvengine.config import Secret, Settings, load_settings
from dvengine.datasets import Dataset, from_object
from dvengine.datasets._mapped import ColumnMap, MappedOrigin
from dvengine.privacy._digits import plain_signs

__all__ = ["METADATA", "pseudonymise"]

#: Where a pseudonym column's field metadata says how it was made: JSON with key_id, kind, domain and method.
METADATA = b"dvengine.pseudonym"

_METHOD = "hmac-sha256/130, base32, v1"
_LENGTH = 26  # signs of five bits: 130 bits, so that a billion identities collide with probability 4e-22
_SHORTEST_KEY = 32
_SLICE = 1 << 16
_CACHED = 1 << 12

Kind = Literal["text", "fnr"]


@typed()
def pseudonymise(
    data: Any,
    columns: str | Sequence[str],
    *,
    key: str | Secret | bytes,
    kind: Kind = "text",
    domain: str | None = None,
    invalid: Literal["error", "null"] = "error",
    settings: Settings | None = None,
) -> Dataset:
    """Replace identities by tokens: HMAC-SHA-256 under a secret key.

    Guarantees: one identity gives one token, in every table and every spelling that ``kind`` knows, under the same key, kind
    and domain, and tokens of other keys or domains have nothing in common with it; null stays null; rows and their order are
    kept; memory does not grow with rows; key and values are in no plan, repr, log or error. The token is 26 signs of
    ``a``–``z`` and ``2``–``7``. Without the key a token can neither be made nor tried; whoever holds the key can do both, so
    a pseudonymised table is still personal data.

    Args:
        data: A dataset, or anything that `dvengine.dataset` takes.
        columns: Of text, integers, or (``fnr``) whole floats and decimals. They become text.
        key: An alias of the settings' ``keys``, a `Secret`, or bytes; at least 32 bytes (text counts as UTF-8). It is read anew
            for each reading of the dataset.
        kind: ``fnr``: an identity number; spaces, dashes and other scripts' digits do not matter, ten digits get back the zero they
            lost, and numbers agree with text. ``text``: anything else; letter case, surrounding and repeated blanks and the way
            accents are composed (NFKC) do not matter.
        domain: Keeps apart what must not be joined, such as two projects; None is a domain of its own for each kind.
        invalid: What to do with values that are no identity (empty text; for ``fnr`` not ten or eleven digits): ``error``
            counts them, ``null`` makes them null.
        settings: `dvengine.config.Settings`; None reads the settings file.

    Returns:
        The dataset, still lazy. Field metadata `METADATA` holds the key's id, from which nothing of the key can be learnt.
        To change keys, pseudonymise the original column under both, side by side: that table maps old to new.

    Raises:
        ConfigError: No such key, or one that is too short.
        InputError: A column is not there, or of a type that holds no identities. When read: how many values of a batch are no
            identities, unless ``invalid="null"``.

    Example:
        >>> people = pa.table({"fnr": ["018245 60079", None], "n": [1, 2]})
        >>> numbers = pa.table({"fnr": [1824560079]})
        >>> secret = bytes(range(32))
        >>> one = pseudonymise(people, "fnr", key=secret, kind="fnr").to_arrow()["fnr"].to_pylist()
        >>> two = pseudonymise(numbers, "fnr", key=secret, kind="fnr").to_arrow()["fnr"].to_pylist()
        >>> one == [*two, None], len(two[0])
        (True, 26)
    """
    if kind not in ("text", "fnr"):
        raise InputError("kind must be text or fnr")
    if invalid not in ("error", "null"):
        raise InputError("invalid must be error or null")
    names = [columns] if isinstance(columns, str) else list(columns)
    dataset = from_object(data)
    _check(dataset.schema, names, kind)
    keyring = _Key.of(key, settings)
    about = {"key_id": keyring.id, "kind": kind, "domain": domain, "method": _METHOD}
    metadata = {METADATA: json.dumps(about, ensure_ascii=False).encode()}
    maps = {}
    for name in names:
        field = pa.field(
            name, pa.string(), dataset.schema.field(name).nullable or invalid == "null", metadata
        )
        maps[name] = ColumnMap(field, _starter(name, keyring, kind, domain, invalid))
    note = f"pseudonymise {', '.join(names)} as {kind} under key {keyring.id}"
    return Dataset(MappedOrigin(dataset._origin, maps, note=note), name=dataset.name)


class _Key:
    """A key that is read late and shown never; only its id is kept."""

    __slots__ = ("_read", "id")

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        secret = read()
        if len(secret) < _SHORTEST_KEY:
            raise ConfigError(
                f"the key has {len(secret)} bytes; it needs at least {_SHORTEST_KEY}",
                hint="make one with: openssl rand -base64 48",
            )
        self.id = _key_id(secret)

    @classmethod
    def of(cls, key: str | Secret | bytes, settings: Settings | None) -> _Key:
        if isinstance(key, str):
            key = (settings or load_settings()).key(key)
        if isinstance(key, Secret):
            secret = key
            return cls(lambda: secret.reveal().encode())
        if isinstance(key, bytes | bytearray):
            kept = bytes(key)
            return cls(lambda: kept)
        raise InputError(
            f"a {type(key).__name__} is no key", hint="give an alias of the settings, a Secret, or bytes"
        )

    def derive(self, kind: str, domain: str | None) -> bytes:
        """Read the key and return the one of a kind and domain; the lengths keep their borders apart."""
        secret = self._read()
        if _key_id(secret) != self.id:
            raise ConfigError("the key was changed after pseudonymise() was called", hint="call it again")
        parts = [kind.encode(), b"-" if domain is None else b"+" + domain.encode()]
        label = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(secret, b"dvengine pseudonym v1\0" + label, "sha256")

    def __repr__(self) -> str:
        return f"_Key({self.id})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key does not pickle; ship its alias")


def _key_id(secret: bytes) -> str:
    return hmac.digest(secret, b"dvengine key id v1", "sha256")[:8].hex()


def _check(schema: pa.Schema, names: list[str], kind: Kind) -> None:
    if not names:
        raise InputError("no column to pseudonymise", hint="name at least one")
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise InputError(
            f"there is no column {', '.join(map(repr, missing))}",
            hint="the columns are: " + ", ".join(schema.names),
        )
    for name in names:
        held: Any = schema.field(name).type
        if pa.types.is_dictionary(held):
            held = held.value_type
        text = pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held)
        number = pa.types.is_integer(held)
        if kind == "fnr":
            number = number or pa.types.is_float64(held) or pa.types.is_decimal(held)
        if not (text or number or pa.types.is_null(held)):
            raise InputError(
                f"column {name!r} is {held}, which holds no {'identity numbers' if kind == 'fnr' else 'text'}",
                hint="cast it to text first, the way it shall be compared",
            )


def _starter(
    column: str, keyring: _Key, kind: Kind, domain: str | None, invalid: str
) -> Callable[[], Callable[[Any], Any]]:
    def start() -> Callable[[Any], Any]:
        inner, outer = _states(keyring.derive(kind, domain))

        def change(array: Any) -> Any:
            pieces = [piece(array.slice(at, _SLICE)) for at in range(0, len(array), _SLICE)]
            return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces or [pa.array([], pa.string())])

        def piece(array: Any) -> Any:
            encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
            values, bad = _normal(encoded.dictionary, kind)
            places = encoded.indices
            if bad.any():
                if invalid == "error":
                    hit = np.append(bad, False)[np.asarray(places.fill_null(len(bad))).astype(np.int64)]
                    if hit.any():
                        _refuse(column, kind, int(hit.sum()), len(array))
                values = pa.array(np.where(bad, None, values.to_numpy(zero_copy_only=False)), pa.binary())
            return _tokens(values, inner, outer).take(places)

        return change

    return start


def _refuse(column: str, kind: Kind, count: int, rows: int) -> None:
    what = "not ten or eleven digits" if kind == "fnr" else "empty"
    raise InputError(
        f"column {column!r}: {count} of {rows} values in one piece of the data are {what}, so they name nobody",
        hint='make them null first, or give invalid="null"',
    )


def _normal(values: Any, kind: Kind) -> tuple[Any, NDArray[np.bool_]]:
    """Return the values as normal bytes, and which of them are no identities. Null is an identity of its own: none."""
    if pa.types.is_null(values.type):
        return values.cast(pa.binary()), np.zeros(len(values), np.bool_)
    if kind == "fnr" and _already_plain(values):
        return values.cast(pa.binary()), np.zeros(len(values), np.bool_)
    text = _written(values)
    if kind == "fnr":
        if text.str.len_bytes().sum() != text.str.len_chars().sum():
            text = plain_signs(text)
        text = text.str.replace_all(r"[\s\-]", "")
        bad = ~text.str.contains(r"^[0-9]{10,11}$")
        text = text.str.zfill(11)
    else:
        text = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
        bad = text.str.len_bytes() == 0
    return text.to_arrow().cast(pa.string()).cast(pa.binary()), bad.fill_null(False).to_numpy()


def _already_plain(values: Any) -> bool:
    """Whether all values are text of exactly eleven ASCII digits, so that nothing is left to do."""
    if not pa.types.is_string(values.type) or values.null_count or not len(values):
        return False
    _, offsets, data = values.buffers()
    edges = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    if not np.all(np.diff(edges) == 11):
        return False
    signs = np.frombuffer(data, np.uint8)[edges[0] : edges[-1]]
    return bool((signs - np.uint8(48) <= 9).all())


def _written(values: Any) -> pl.Series:
    """Write numbers as text; what is no whole number becomes a text that is no identity."""
    held = values.type
    if pa.types.is_floating(held) or pa.types.is_decimal(held):
        numbers = np.asarray(values.cast(pa.float64()).fill_null(0))
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 1e15)
        written = np.where(whole, np.where(whole, numbers, 0).astype(np.int64).astype(str), "")
        nulls = np.asarray(values.is_null())
        return pl.Series(written).set(pl.Series(nulls), None) if nulls.any() else pl.Series(written)
    return pl.Series(values.cast(pa.string()))


def _states(key: bytes) -> tuple[Any, Any]:
    """SHA-256 after the key's inner and outer block (RFC 2104): copies of them save half of the work for each value."""
    block = key.ljust(64, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return inner, outer


def _tokens(values: Any, inner: Any, outer: Any) -> Any:
    """Return one token a value, null for null."""
    copy_inner, copy_outer = inner.copy, outer.copy
    digests: list[bytes] = []
    keep = digests.append
    nulls = np.asarray(values.is_null())
    for value in values.drop_null().to_pylist():
        state = copy_inner()
        state.update(value)
        over = copy_outer()
        over.update(state.digest())
        keep(over.digest())
    signs = _base32(np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), 32))
    offsets = np.arange(len(digests) + 1, dtype=np.int32) * _LENGTH
    tokens: Any = pa.Array.from_buffers(
        pa.string(), len(digests), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(signs.tobytes())]
    )
    if nulls.any():
        places = np.cumsum(~nulls) - 1
        return tokens.take(pa.array(places, mask=nulls))
    return tokens


_ALPHABET = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
# Ten bits → two signs, side by side in memory.
_PAIRS = np.stack([np.repeat(_ALPHABET, 32), np.tile(_ALPHABET, 32)], axis=1).view(np.uint16).ravel()


def _base32(digests: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Write the first 130 bits of each digest in RFC 4648's alphabet, lower case: shape (n, 13), two signs each."""
    out = np.empty((digests.shape[0], _LENGTH // 2), np.uint16)
    # The first 192 bits as three big numbers, a cache's worth of rows at a time.
    words = digests.view(">u8")[:, :3]
    for at in range(0, len(digests), _CACHED):
        left, middle, right = (np.ascontiguousarray(w, np.uint64) for w in words[at : at + _CACHED].T)
        # 60 bits of the first, 4 + 56 across, 10 across: six, six and one pairs.
        second = (left << np.uint64(60)) | (middle >> np.uint64(4))
        third = (middle << np.uint64(56)) | (right >> np.uint64(8))
        for pair in range(_LENGTH // 2):
            word = (left, second, third)[pair // 6]
            ten = (word >> np.uint64(54 - pair % 6 * 10)) & np.uint64(1023)
            out[at : at + _CACHED, pair] = _PAIRS.take(ten.view(np.int64))
    return out
