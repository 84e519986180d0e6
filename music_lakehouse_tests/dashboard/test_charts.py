from __future__ import annotations

import json
from datetime import date

import pyarrow as pa

from music_lakehouse.dashboard import charts
from music_lakehouse.simulator.weighted import read_rows

TOPOLOGY = json.loads(charts.STATES.read_text())


def test_every_state_of_the_reference_has_borders() -> None:
    shapes = {shape["properties"]["state"]: shape for shape in TOPOLOGY["objects"]["states"]["geometries"]}

    assert {row["stateCode"]: row["stateName"] for row in read_rows("state_codes.csv")} == {
        state: shape["properties"]["name"] for state, shape in shapes.items()
    }
    assert all(shape["arcs"] for shape in shapes.values())


def test_every_border_that_a_shape_names_is_there() -> None:
    def arcs(part: object) -> list[int]:
        return [number for each in part for number in arcs(each)] if isinstance(part, list) else [part]  # type: ignore[list-item]

    named = [number for shape in TOPOLOGY["objects"]["states"]["geometries"] for number in arcs(shape["arcs"])]

    assert {number if number >= 0 else ~number for number in named} == set(range(len(TOPOLOGY["arcs"])))


def test_the_map_marks_the_state_that_is_chosen_and_fetches_nothing() -> None:
    rows = pa.table({"state": ["CA", None], "streams": [3, 4]})
    text = charts.state_map(rows, "CA").to_json()
    spec = json.loads(text)

    assert "datum.properties.state === 'CA'" in text
    assert spec["datasets"][spec["transform"][0]["from"]["data"]["name"]] == [{"state": "CA", "streams": 3}]
    assert '"url"' not in text


def test_hours_without_streams_are_on_the_axis_too() -> None:
    rows = pa.table({"date_part": [date(2026, 11, 21)], "hour": pa.array([7], pa.int32()), "streams": [3]})
    bars, line = json.loads(charts.hours(rows, date(2026, 11, 21)).to_json())["layer"]

    assert bars["encoding"]["x"]["scale"]["domain"] == list(range(24))
    assert (bars["mark"]["type"], line["mark"]["type"]) == ("bar", "line")
