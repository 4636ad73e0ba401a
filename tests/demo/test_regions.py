from __future__ import annotations

from itertools import pairwise

from dvengine.demo import fylker_geojson, kommuner


def test_all_municipalities_are_there_with_codes_as_text_and_the_published_population() -> None:
    frame = kommuner()
    assert frame.height == 357
    assert frame["kommunenummer"].str.len_chars().unique().to_list() == [4]
    assert (frame["kommunenummer"].str.slice(0, 2) == frame["fylkesnummer"]).all()
    assert frame["folketall"].sum() == 5_550_203


def test_every_county_of_the_codes_is_on_the_map_and_wound_for_drawing() -> None:
    shapes = fylker_geojson()
    assert {f["properties"]["fylkesnummer"] for f in shapes["features"]} == set(kommuner()["fylkesnummer"])
    for feature in shapes["features"]:
        shape = feature["geometry"]
        polygons = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
        for outer, *_ in polygons:
            turning = sum((b[0] - a[0]) * (b[1] + a[1]) for a, b in pairwise(outer))
            assert turning > 0  # clockwise
