"""The plot of a soak: what was seen over time, with the faults as lines through all of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from music_lakehouse_tests.soak.judgement import MB
from music_lakehouse_tests.soak.record import Record

WIDTH, HEIGHT = 1000, 130
FONT = "Arial, Liberation Sans, sans-serif"
Rows = list[dict[str, Any]]


def draw(record: Record) -> dict[str, Any]:
    """The plot in Vega-Lite's terms."""
    end = max([(sample.at - record.began) / 60 for sample in record.samples], default=1.0)
    x = alt.X("minute:Q", title="minutes since the first run", scale=alt.Scale(domain=[min(0, -1), end]))
    faults = alt.InlineData(
        values=[{"minute": (f.since - record.began) / 60, "fault": f.kind} for f in record.happened]
    )

    def panel(rows: Iterable[dict[str, Any]], title: str, *, log: bool = False) -> alt.LayerChart:
        y = alt.Y("value:Q", title=title, scale=alt.Scale(type="symlog" if log else "linear"))
        lines = alt.Chart(alt.InlineData(values=list(rows))).mark_line(clip=True).encode(x=x, y=y, color="what:N")
        return _with_faults(lines)

    def _with_faults(chart: alt.Chart, legend: alt.Legend | None = None) -> alt.LayerChart:
        colour = alt.Color("fault:N", legend=legend)
        rules = alt.Chart(faults).mark_rule(strokeDash=[4, 3]).encode(x=x, color=colour)
        return (
            alt.LayerChart(layer=[rules, chart])
            .resolve_scale(color="independent")
            .properties(width=WIDTH, height=HEIGHT)
        )

    runs = alt.InlineData(
        values=[
            {
                "minute": (run.since - record.began) / 60,
                "until": (run.until - record.began) / 60,
                "job": run.job,
                "ended": run.status.lower(),
            }
            for run in record.runs
            if run.since is not None and run.until is not None
        ]
    )
    outcomes = alt.Scale(domain=["success", "failure", "canceled"], range=["#3a9a5b", "#c0392b", "#d98a2b"])
    bars = (
        alt.Chart(runs)
        .mark_bar(clip=True)
        .encode(x=x, x2="until:Q", y=alt.Y("job:N", title=None), color=alt.Color("ended:N", scale=outcomes))
    )
    chart = alt.VConcatChart(
        vconcat=[
            _with_faults(bars, alt.Legend()).properties(height=50),
            panel(_lag(record), "waiting", log=True),
            panel(_rates(record), "events a second"),
            panel(_freshness(record), "age in gold (s)", log=True),
            panel(_memory(record), "memory (MB)"),
            panel(_files(record), "files", log=True),
        ]
    ).configure(font=FONT)
    drawn: dict[str, Any] = chart.to_dict()
    return drawn


def _minute(record: Record, at: float) -> float:
    return (at - record.began) / 60


def _lag(record: Record) -> Rows:
    return [
        {"minute": _minute(record, sample.at), "value": value, "what": what}
        for sample in record.samples
        for what, value in (("messages that raw lacks", sample.unread), ("listens that gold lacks", sample.behind))
    ]


def _rates(record: Record) -> Rows:
    return [
        {"minute": _minute(record, sample.at), "value": sample.rate, "what": "sent"}
        for sample in record.samples
        if sample.rate is not None
    ]


def _freshness(record: Record) -> Rows:
    return [
        {"minute": _minute(record, commit.at), "value": value, "what": what}
        for commit in record.commits
        for what, value in (("median", commit.median), ("95th percentile", commit.slow))
    ]


def _memory(record: Record) -> Rows:
    return [
        {"minute": _minute(record, sample.at), "value": memory.size / MB, "what": part}
        for sample in record.samples
        for part, memory in sample.memory.items()
    ]


def _files(record: Record) -> Rows:
    return [
        {"minute": _minute(record, sample.at), "value": value, "what": what}
        for sample in record.samples
        if sample.tables
        for what, value in (
            ("of the newest versions", sum(t.files for t in sample.tables.values())),
            ("with their history", sum(t.stored_files for t in sample.tables.values())),
            ("of the logs", sum(t.log_files for t in sample.tables.values())),
        )
    ]
