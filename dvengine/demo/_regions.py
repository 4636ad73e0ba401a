"""The 357 municipalities and 15 counties of 2024: names, people and borders.

Source: Kartverket, CC BY 4.0, and others; see ``data/README.md`` beside this module.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import polars as pl

__all__ = ["fylker_geojson", "kapitler", "kommuner"]

_DATA = files("dvengine.demo") / "data"


@lru_cache(maxsize=1)
def kommuner() -> pl.DataFrame:
    """Return the municipalities: kommunenummer, kommunenavn, fylkesnummer, fylkesnavn (text), folketall (1 January 2024).

    Example:
        >>> kommuner().filter(kommunenummer="0301").row(0)
        ('0301', 'Oslo', '03', 'Oslo', 717710)
    """
    text = pl.String
    return pl.read_csv(
        _DATA.joinpath("kommuner_2024.csv").read_bytes(),
        separator=";",
        schema_overrides={"kommunenummer": text, "fylkesnummer": text, "folketall_2024": pl.Int64},
    ).select("kommunenummer", "kommunenavn", "fylkesnummer", "fylkesnavn", folketall="folketall_2024")


def fylker_geojson() -> dict[str, Any]:
    """Return the counties' borders as GeoJSON (WGS 84). Show "© Kartverket, CC BY 4.0" under the map.

    Outer rings run clockwise, as Vega and d3 want: in the file (RFC 7946) they run the other way, and each county would be
    drawn as the whole globe with a hole in it.

    Example:
        >>> len(fylker_geojson()["features"])
        15
    """
    shapes: dict[str, Any] = json.loads(_DATA.joinpath("fylker_2024.geojson").read_text("utf-8"))
    for feature in shapes["features"]:
        shape = feature["geometry"]
        polygons = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
        for ring in (ring for polygon in polygons for ring in polygon):
            ring.reverse()
    return shapes


@lru_cache(maxsize=1)
def kapitler() -> pl.DataFrame:
    """Return the 17 chapters of ICPC-2: kapittel (a letter), navn, antall_koder."""
    return pl.read_csv(_DATA.joinpath("icpc2_kapitler.csv").read_bytes(), separator=";")
