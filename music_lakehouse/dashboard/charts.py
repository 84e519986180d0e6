"""Charts of the dashboard's answers. Nothing is fetched from elsewhere: the states' borders are a file beside this."""

from __future__ import annotations

import json
from datetime import date
from functools import lru_cache
from pathlib import Path

import altair as alt
import pyarrow as pa
import pyarrow.compute as pc

BLUE, GREY = "#2f6db5", "#b8bec6"
LEVELS = {"free": "#8fb4dc", "paid": BLUE}
STATES = Path(__file__).with_name("states.json")


@lru_cache(maxsize=1)
def borders() -> alt.InlineData:
    """The states' borders as TopoJSON: an object `states`, each with its two letters as `state` and its `name`. Made
    once: Altair looks at each of the numbers."""
    topology = json.loads(STATES.read_text())
    return alt.InlineData(values=topology, format=alt.TopoDataFormat(type="topojson", feature="states"))


def hours(rows: pa.Table, last: date) -> alt.LayerChart:
    """Listens by hour of the day `last` as bars, against the day before as a line."""
    today = pc.equal(rows["date_part"], pa.scalar(last))
    hour = alt.X("hour:O", title="hour (UTC)", scale=alt.Scale(domain=list(range(24))), axis=alt.Axis(labelAngle=0))
    listens = alt.Y("streams:Q", title="listens", axis=alt.Axis(tickMinStep=1))
    tooltip = [
        alt.Tooltip("day:N"),
        alt.Tooltip("hour:O", title="hour (UTC)"),
        alt.Tooltip("streams:Q", title="listens", format=","),
    ]
    days = [str(last), "the day before"]
    colour = alt.Color("day:N", title=None, scale=alt.Scale(domain=days, range=[BLUE, "#d98a2b"]))
    orient = colour.legend(orient="top")

    def part(of_day: pa.ChunkedArray, day: str) -> alt.Chart:
        found = rows.filter(of_day).select(["hour", "streams"])
        return alt.Chart(found.append_column("day", pa.array([day] * found.num_rows, pa.string()))).encode(
            x=hour, y=listens, color=orient, tooltip=tooltip
        )

    bars, line = part(today, days[0]).mark_bar(), part(pc.invert(today), days[1]).mark_line(point=True)
    return alt.LayerChart(layer=[bars, line]).properties(height=260)


def activity(rows: pa.Table) -> alt.Chart:
    """Listens by hour of the day, of all days together."""
    return (
        alt.Chart(rows)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("hour:O", title="hour (UTC)", scale=alt.Scale(domain=list(range(24))), axis=alt.Axis(labelAngle=0)),
            y=alt.Y("streams:Q", title="listens", axis=alt.Axis(tickMinStep=1)),
            tooltip=[alt.Tooltip("hour:O", title="hour (UTC)"), alt.Tooltip("streams:Q", title="listens", format=",")],
        )
        .properties(height=260)
    )


def state_map(rows: pa.Table, state: str | None) -> alt.Chart:
    """The United States, each state as dark as it has streams; the one that is chosen has a thick border."""
    streams = {row["state"]: row["streams"] for row in rows.to_pylist() if row["state"]}
    counted = alt.InlineData(values=[{"state": name, "streams": count} for name, count in streams.items()])
    chosen = f"datum.properties.state === '{state}'" if state else "false"
    return (
        alt.Chart(borders())
        .mark_geoshape()
        .transform_lookup("properties.state", alt.LookupData(counted, "state", ["streams"]))
        .transform_calculate(listens="isValid(datum.streams) ? datum.streams : 0")
        .encode(
            color=alt.Color(
                "listens:Q",
                title="listens",
                scale=alt.Scale(scheme="blues", type="symlog"),
                legend=alt.Legend(format=",d"),
            ),
            stroke=alt.condition(chosen, alt.value("#222222"), alt.value("white")),
            strokeWidth=alt.condition(chosen, alt.value(2.5), alt.value(0.7)),
            tooltip=[
                alt.Tooltip("properties.name:N", title="state"),
                alt.Tooltip("listens:Q", format=","),
            ],
        )
        .project("albersUsa")
        .properties(height=300)
    )


def ranking(rows: pa.Table, names: list[str]) -> alt.Chart:
    """Bars by streams, the longest first, each labelled by the names, of which the first is the main one."""
    first, *others = names
    label = [" · ".join(str(row[name]) for name in (first, *others)) for row in rows.to_pylist()]
    labelled = rows.append_column("label", pa.array(label, pa.string()))
    return (
        alt.Chart(labelled)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("streams:Q", title="listens", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=320)),
            tooltip=[
                *(alt.Tooltip(f"{name}:N") for name in names),
                alt.Tooltip("streams:Q", title="listens", format=","),
            ],
        )
        .properties(height=320)
    )


def levels(rows: pa.Table) -> alt.Chart:
    """Users by gender, of each the levels side by side."""
    return (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("gender:N", title="gender", axis=alt.Axis(labelAngle=0)),
            xOffset="level:N",
            y=alt.Y("users:Q", title="users", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "level:N", title=None, scale=alt.Scale(domain=list(LEVELS), range=list(LEVELS.values()))
            ).legend(orient="top"),
            tooltip=["level:N", "gender:N", alt.Tooltip("users:Q", format=","), alt.Tooltip("streams:Q", format=",")],
        )
        .properties(height=260)
    )


def written(rows: pa.Table) -> alt.Chart:
    """Rows written, a square a table and hour, the darker the more."""
    named = rows.set_column(1, "hour", pc.strftime(rows["hour"], format="%m-%d %H:00"))
    return (
        alt.Chart(named)
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title="hour (UTC)"),
            y=alt.Y("table:N", title=None, sort=None, axis=alt.Axis(labelLimit=240)),
            color=alt.Color(
                "rows:Q", title="rows", scale=alt.Scale(scheme="blues", type="symlog"), legend=alt.Legend(format=",d")
            ),
            tooltip=["table:N", "hour:O", alt.Tooltip("rows:Q", format=",")],
        )
    )


def reasons(rows: pa.Table) -> alt.LayerChart:
    """Rows in quarantine by reason, coloured by the table that they lie in."""
    chart = alt.Chart(rows).encode(
        x=alt.X("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("reason:N", title=None, sort="-x", axis=alt.Axis(labelLimit=240)),
        tooltip=["table:N", "reason:N", alt.Tooltip("rows:Q", format=",")],
    )
    bars = chart.mark_bar().encode(
        color=alt.Color("table:N", title=None).legend(orient="top", direction="vertical", labelLimit=300)
    )
    counts = chart.mark_text(align="left", dx=4).encode(text=alt.Text("rows:Q", format=","))
    return alt.LayerChart(layer=[bars, counts])
