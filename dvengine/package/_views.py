"""Views: a figure becomes a specification and a picture of it, rendered here and now, with nothing fetched."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dvengine._errors import DescriptorError
from dvengine._extras import require

__all__ = ["Rendered", "embedded_rows", "numbers_and_texts", "render"]

#: A view is a picture, not a download: beyond this the data belong in a resource.
MAX_ROWS = 20_000
MAX_BYTES = 5_000_000

_VEGA_LITE = re.compile(r"https?://vega\.github\.io/schema/vega-lite/v(\d+)(?:\.[\d.]+)?\.json")
_GEOMETRY = ("coordinates", "arcs", "bbox", "transform")
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A figure, ready to be stored.

    Attributes:
        kind: What the specification is: ``vega-lite``, ``svg`` (a picture only) or ``markdown``.
        files: File suffix → bytes; the first is the specification.
        spec: The Vega-Lite specification, or None.
        text: The markdown text or the picture's source, for the gate's scan.
    """

    kind: Literal["vega-lite", "svg", "markdown"]
    files: dict[str, bytes]
    spec: dict[str, Any] | None
    text: str


def render(figure: object, *, name: str) -> Rendered:
    """Turn a figure into files: Vega-Lite JSON and SVG, SVG, or markdown.

    Guarantees: nothing is fetched, by rendering here or by showing the result later; JSON is strict.

    Args:
        figure: An altair chart (anything whose ``to_dict`` gives Vega-Lite), a Vega-Lite dict or JSON text, a matplotlib figure
            (anything with ``savefig``), or markdown text.
        name: Of the view, for errors.

    Raises:
        DescriptorError: Not a figure; data, images or tiles by URL; too many rows; a number that JSON cannot hold.
        MissingExtra: A Vega-Lite figure without the extra ``views``.

    Example:
        >>> render("# Sykefravær", name="about").kind
        'markdown'
    """
    if isinstance(figure, str):
        if figure.lstrip().startswith("{"):
            try:
                return _vega_lite(json.loads(figure, parse_constant=_no_constant), name)
            except ValueError as error:
                if isinstance(error, DescriptorError):
                    raise
                raise DescriptorError(f"view {name!r} is not valid JSON") from None
        if not figure.strip():
            raise DescriptorError(f"view {name!r} is empty")
        return _bounded(Rendered("markdown", {".md": figure.encode()}, None, figure), name)
    if isinstance(figure, Mapping):
        return _vega_lite(dict(figure), name)
    if callable(getattr(figure, "savefig", None)):
        return _matplotlib(figure, name)
    if callable(to_dict := getattr(figure, "to_dict", None)):
        try:
            spec = to_dict()
        except Exception as error:  # noqa: BLE001 - a chart library's own errors, which may print the data
            raise DescriptorError(
                f"view {name!r} cannot be turned into a specification ({type(error).__name__})",
                hint="does the chart show in a notebook? Aggregate first if it holds more than a few thousand rows",
            ) from None
        if isinstance(spec, Mapping):
            return _vega_lite(dict(spec), name)
    raise DescriptorError(
        f"view {name!r} is not a figure",
        hint="give an altair chart, a Vega-Lite dict or JSON text, a matplotlib figure, or markdown text",
    )


def _no_constant(_: str) -> object:
    raise DescriptorError("a view holds NaN or Infinity, which JSON cannot", hint="use null")


def _bounded(rendered: Rendered, name: str) -> Rendered:
    if max(len(data) for data in rendered.files.values()) > MAX_BYTES:
        raise DescriptorError(
            f"view {name!r} is larger than {MAX_BYTES // 1_000_000} MB", hint="aggregate the data first"
        )
    return rendered


def _vega_lite(spec: dict[str, Any], name: str) -> Rendered:
    schema = spec.get("$schema")
    if not isinstance(schema, str) or not _VEGA_LITE.fullmatch(schema):
        raise DescriptorError(
            f"view {name!r} is not a Vega-Lite figure",
            hint='its "$schema" must be https://vega.github.io/schema/vega-lite/v5.json or v6.json',
        )
    # usermeta speaks to the embedding page (loaders, patches by URL); it draws nothing.
    spec = {key: value for key, value in spec.items() if key != "usermeta"}
    _check_offline(spec, name)
    _check_links(spec, name)
    if sum(1 for _ in embedded_rows(spec)) > MAX_ROWS:
        raise DescriptorError(
            f"view {name!r} embeds more than {MAX_ROWS:,} rows", hint="aggregate the data first"
        )
    try:
        text = json.dumps(spec, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise DescriptorError(
            f"view {name!r} holds NaN or Infinity, which JSON cannot", hint="use null"
        ) from None
    except TypeError:
        raise DescriptorError(
            f"view {name!r} holds something that is not JSON", hint="use text for dates"
        ) from None
    svg = _draw(text, name)
    files = {".vl.json": text.encode(), ".svg": str(svg).encode()}
    return _bounded(Rendered("vega-lite", files, spec, str(svg)), name)


def _draw(spec: str, name: str) -> str:
    converter = require("vl_convert", extra="views")
    # Seen with vl-convert 1.9: the error of one figure is raised once more for the next one; a second or third try tells.
    for attempt in range(3):
        try:
            # An empty list of allowed addresses is a second wall behind `_check_offline`.
            return str(converter.vegalite_to_svg(spec, allowed_base_urls=[]))
        except Exception as error:  # noqa: BLE001 - the renderer's text may repeat the data
            if attempt == 2:
                raise DescriptorError(
                    f"view {name!r} cannot be drawn ({type(error).__name__})",
                    hint="try it in a Vega-Lite editor",
                ) from None
    raise AssertionError("unreachable")


def _matplotlib(figure: Any, name: str) -> Rendered:
    buffer = io.BytesIO()
    try:
        # No date and no creator: the same figure gives the same bytes.
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    except Exception as error:  # noqa: BLE001 - a drawing library's own errors, which may print the data
        raise DescriptorError(f"view {name!r} cannot be drawn ({type(error).__name__})") from None
    data = buffer.getvalue()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if "<svg" not in text:
        raise DescriptorError(f"view {name!r} did not draw an SVG picture")
    return _bounded(Rendered("svg", {".svg": data}, None, text), name)


def _walk(node: object, key: str = "", *, data: bool = True) -> Iterator[tuple[str, object]]:
    """Yield every (key, value) of a specification, lists keeping their key; ``data=False`` leaves the data rows out."""
    if isinstance(node, Mapping):
        for inner, value in node.items():
            if not data and (inner == "datasets" or (key == "data" and inner == "values")):
                continue
            yield str(inner), value
            yield from _walk(value, str(inner), data=data)
    elif isinstance(node, (list, tuple)):
        for value in node:
            if not isinstance(value, (Mapping, list, tuple)):
                yield key, value
            yield from _walk(value, key, data=data)


def _check_offline(spec: Mapping[str, Any], name: str) -> None:
    """Refuse whatever a renderer would fetch."""
    for key, value in _walk(spec, data=False):
        if key in ("url", "tile", "tiles", "baseURL"):
            raise DescriptorError(
                f"view {name!r} takes its data or an image by URL",
                hint="put the rows in the figure: data.values",
            )
        if key in ("mark", "type") and value == "image":
            raise DescriptorError(f"view {name!r} draws images, which are fetched", hint="use points or text")


def _check_links(spec: Mapping[str, Any], name: str) -> None:
    """Refuse links that run code, and links that are worked out where they are shown."""
    for key, value in _walk(spec, data=False):
        if key != "href":
            continue
        links: list[object] = [value]
        if isinstance(value, Mapping):
            if "value" in value:
                links = [value["value"]]
            elif isinstance(column := value.get("field"), str):
                links = [row[column] for row in embedded_rows(spec) if row.get(column) is not None]
        if not all(isinstance(link, str) and _SAFE_LINK.match(link) for link in links):
            raise DescriptorError(
                f"view {name!r} has a link that is not http, https or mailto",
                hint="write the link out, or leave href away",
            )


def embedded_rows(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every data row that a specification carries, nested ones too, the ``properties`` of map features lifted up.

    Rows stand in ``data.values`` (anywhere in the tree) and in the top's ``datasets``. Geometry is left out.

    Raises:
        DescriptorError: Data as text (CSV or JSON in a string), which could not be looked through.
    """
    datasets = spec.get("datasets")
    sources: list[object] = list(datasets.values()) if isinstance(datasets, Mapping) else []
    for key, value in _walk(spec, data=False):
        if key == "data" and isinstance(value, Mapping) and "values" in value:
            sources.append(value["values"])
    for source in sources:
        if isinstance(source, str):
            raise DescriptorError("a figure carries its data as text", hint="give rows: a list of objects")
        yield from _rows(source, "data")


def _rows(node: object, key: str) -> Iterator[dict[str, Any]]:
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _rows(item, key)
        return
    if not isinstance(node, Mapping):
        yield {key: node}
        return
    inner = node.get("properties")
    merged = dict(node)
    if isinstance(inner, Mapping):
        del merged["properties"]
        merged = {**merged, **inner}
    if "geometry" in node:
        merged.pop("id", None)
    row = {str(k): v for k, v in merged.items() if not isinstance(v, (Mapping, list, tuple))}
    if row:
        yield row
    for k, v in merged.items():
        if isinstance(v, (Mapping, list, tuple)) and k not in _GEOMETRY:
            yield from _rows(v, str(k))


def numbers_and_texts(node: object) -> Iterator[str]:
    """Yield every key, text and whole number of a specification as text, for the scan for identity numbers."""
    for key, value in _walk(node):
        yield key
        if isinstance(value, str):
            yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value).zfill(11)
        elif isinstance(value, float) and value.is_integer():
            yield str(int(value)).zfill(11)
