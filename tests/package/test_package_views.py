"""Figures: drawn when added, with nothing fetched, and looked through."""

from __future__ import annotations

import json
import socket
from io import BytesIO
from typing import Any

import altair as alt
import polars as pl
import pytest

from dvengine import DescriptorError
from dvengine.package._views import MAX_ROWS, embedded_rows, numbers_and_texts, render

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def spec(**parts: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "mark": "bar", "data": {"values": [{"k": "a", "n": 7}]},
            "encoding": {"x": {"field": "k", "type": "nominal"}, "y": {"field": "n", "type": "quantitative"}}} | parts  # fmt: skip


def test_an_altair_chart_becomes_a_specification_and_a_picture() -> None:
    frame = pl.DataFrame({"kjønn": ["K", "M"], "n": [12, 9]})
    rendered = render(alt.Chart(frame).mark_bar().encode(x="kjønn", y="n"), name="figur")
    assert list(rendered.files) == [".vl.json", ".svg"]
    assert json.loads(rendered.files[".vl.json"]) == rendered.spec
    assert rendered.files[".svg"].startswith(b"<svg")
    assert list(embedded_rows(rendered.spec or {})) == [{"kjønn": "K", "n": 12}, {"kjønn": "M", "n": 9}]


@pytest.mark.parametrize("figure", [spec(), json.dumps(spec())])
def test_a_dict_and_its_json_text_are_the_same_figure(figure: object) -> None:
    assert render(figure, name="a").files[".vl.json"] == json.dumps(spec()).encode()


class Drawing:
    """Has matplotlib's one method that counts here."""

    def savefig(self, target: BytesIO, **options: object) -> None:
        assert options["format"] == "svg"
        target.write(b"<svg><!-- 0301 Oslo --></svg>")


def test_anything_with_savefig_becomes_a_picture() -> None:
    rendered = render(Drawing(), name="a")
    assert rendered.kind == "svg"
    assert list(rendered.files) == [".svg"]


def test_markdown_stays_as_written() -> None:
    assert render("# Om tallene\næøå", name="a").files == {".md": "# Om tallene\næøå".encode()}


@pytest.mark.parametrize(
    "figure",
    [
        spec(data={"url": "https://example.org/a.csv"}),
        spec(data={"url": "file:///etc/passwd"}),
        spec(data={"url": "data:text/csv,a,b"}),
        spec(transform=[{"lookup": "k", "from": {"data": {"url": "a.json"}, "key": "k", "fields": ["n"]}}]),
        spec(mark="image"),
        spec(mark={"type": "image", "width": 5}),
        spec(layer=[{"mark": "image", "encoding": {"url": {"value": "http://example.org/a.png"}}}]),
        spec(mark={"type": "bar", "href": "javascript:alert(1)"}),
        spec(encoding={"href": {"value": "java\nscript:alert(1)"}}),
        spec(encoding={"href": {"field": "l"}}, data={"values": [{"l": "JaVaScRiPt:alert(1)"}]}),
        spec(encoding={"href": {"expr": "'java' + 'script:1'"}}),
    ],
)
def test_what_would_be_fetched_or_run_is_refused(figure: dict[str, Any]) -> None:
    with pytest.raises(DescriptorError, match="view 'a'"):
        render(figure, name="a")


def test_drawing_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.3)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.json"
        # Past our own wall on purpose: the renderer's list of allowed addresses must hold by itself.
        monkeypatch.setattr("dvengine.package._views._check_offline", lambda spec, name: None)
        with pytest.raises(DescriptorError):
            render(spec(data={"url": address}), name="a")
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "figure",
    [
        None, 7, [], "", "  ", "{not json", '{"$schema": 3}', {"data": [], "layout": {}}, spec(mark="nonsense"), object(),
        spec(data={"values": [{"n": float("nan")}]}), json.dumps(spec()).replace('7', 'NaN'), spec(data={"values": "a,b\n1,2"}),
        spec(data={"values": [{"n": object()}]}), {**spec(), "$schema": "https://vega.github.io/schema/vega/v5.json"},
    ],
)  # fmt: skip
def test_what_is_no_figure_is_refused(figure: object) -> None:
    with pytest.raises(DescriptorError):
        render(figure, name="a")


def test_a_refused_figure_does_not_spoil_the_next() -> None:
    for _ in range(3):
        with pytest.raises(DescriptorError):
            render(spec(mark="nonsense"), name="bad")
        assert render(spec(), name="good").kind == "vega-lite"


def test_a_figure_is_not_a_download() -> None:
    rows = [{"k": "a", "n": 1}] * (MAX_ROWS + 1)
    with pytest.raises(DescriptorError, match="rows"):
        render(spec(data={"values": rows}), name="a")


def test_a_chart_that_fails_tells_its_kind_and_no_data() -> None:
    chart = alt.Chart(pl.DataFrame({"hemmelig": [918273645]})).mark_bar().encode(x="nowhere")
    with pytest.raises(DescriptorError) as caught:
        render(chart, name="a")
    assert "918273645" not in str(caught.value)


def test_rows_are_found_wherever_a_specification_keeps_them() -> None:
    feature = {"type": "Feature", "id": 3, "properties": {"fylke": "03", "n": 5},
               "geometry": {"type": "Point", "coordinates": [10.7, 59.9]}}  # fmt: skip
    figure = spec(
        data={"name": "ds"},
        datasets={"ds": [{"a": 1}]},
        layer=[
            {"data": {"values": {"type": "FeatureCollection", "features": [feature]}}, "mark": "geoshape"},
            {"data": {"values": [{"deep": {"b": 2}}, {"list": [3, 4]}]}, "mark": "point"},
            {"data": {"values": [5, 6]}, "mark": "point"},
        ],
        transform=[{"lookup": "k", "from": {"data": {"values": [{"c": 7}]}, "key": "k", "fields": ["c"]}}],
    )
    numbers = [v for row in embedded_rows(figure) for v in row.values() if isinstance(v, (int, float))]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 5, 6, 7]


def test_whole_numbers_are_scanned_with_their_lost_zeros() -> None:
    assert "05815160160" in list(numbers_and_texts({"data": {"values": [{"x": 5815160160}]}}))
    assert "05815160160" in list(numbers_and_texts({"data": {"values": [{"x": 5815160160.0}]}}))
    assert "05815160160" in list(numbers_and_texts({"title": "05815160160"}))
