"""Pictures from a package: drawn shapes and text are kept, whatever a browser could act on is not.

A page shows them by ``<img>``, where nothing inside can run. But the file can also be opened alone, and then it would.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

__all__ = ["still_svg"]

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_SHAPES = frozenset(
    ["svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "textPath", "defs",
     "clipPath", "mask", "pattern", "marker", "symbol", "use", "image", "linearGradient", "radialGradient", "stop", "title",
     "desc", "style"]
)  # fmt: skip
_ELSEWHERE = re.compile(r"url\(\s*['\"]?(?!#)|@import|expression\(|javascript:|\\", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/=\s]*")
_LONGEST = 20_000_000

ET.register_namespace("", _SVG[1:-1])
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def still_svg(data: bytes) -> bytes | None:
    """Return the picture with only shapes, text, gradients and embedded bitmaps; None where it is no SVG.

    Example:
        >>> still_svg(b'<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><script>x()</script><path d="M0 0"/></svg>')
        b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0" /></svg>'
    """
    if len(data) > _LONGEST or re.search(rb"<!ENTITY", data, re.IGNORECASE):
        return None
    try:
        root = ET.fromstring(data)  # noqa: S314 - entities are refused above, and nothing is fetched
    except (ET.ParseError, ValueError, LookupError):
        return None
    if root.tag != f"{_SVG}svg":
        return None
    _clean(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=False))


def _clean(element: ET.Element) -> None:
    for name, value in list(element.attrib.items()):
        plain = name.rpartition("}")[2].lower()
        link = name == _XLINK or plain == "href"
        allowed_link = value.startswith("#") or _PICTURE.fullmatch(value) is not None
        if plain.startswith("on") or (link and not allowed_link) or (not link and _ELSEWHERE.search(value)):
            del element.attrib[name]
    for child in list(element):
        name = child.tag.removeprefix(_SVG) if isinstance(child.tag, str) else ""
        if name not in _SHAPES or (name == "style" and _ELSEWHERE.search("".join(child.itertext()))):
            # A tail belongs to the parent's text; what is dropped takes only itself along.
            _keep_tail(element, child)
            element.remove(child)
        else:
            _clean(child)


def _keep_tail(parent: ET.Element, child: ET.Element) -> None:
    if not (child.tail or "").strip():
        return
    before = list(parent)[: list(parent).index(child)]
    if before:
        before[-1].tail = (before[-1].tail or "") + (child.tail or "")
    else:
        parent.text = (parent.text or "") + (child.tail or "")
