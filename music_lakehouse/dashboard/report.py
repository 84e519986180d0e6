"""The listening report: one HTML page with the analytics as charts, which needs nothing else, neither a network nor
scripts. It shows no names of persons.

The page itself says from which versions of its tables it was made, so that it is known whether it is up to date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa

from music_lakehouse.dashboard import listening
from music_lakehouse.defs.listening.gold_tables import DAILY_LOCATION_SUMMARY, WIDE_STREAMS
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.documents import read_document, write_document
from music_lakehouse.lakehouse.lake import LakePaths

SOURCES = (WIDE_STREAMS, DAILY_LOCATION_SUMMARY)
"""What the page is made from."""
PATH = "gold/listening_report/index.html"
"""Where the page lies below the lake's root."""
MOST_LINES_OF_A_PREVIEW = 10
WIDTH = 560
FONT = "Arial, Liberation Sans, sans-serif"

Made = Mapping[str, delta.TableState]
"""From which versions of its tables a page was made, by their full names."""


@dataclass(frozen=True)
class Section:
    """One of the analytics: its title, its answer, and how the answer's columns are called."""

    title: str
    rows: pa.Table
    names: Mapping[str, str]
    note: str = ""

    @property
    def lines(self) -> list[list[str]]:
        """The answer as text."""
        return [[_text(row[column]) for column in self.names] for row in self.rows.to_pylist()]


@dataclass(frozen=True)
class Report:
    """What the page shows: streams of which days, and the analytics."""

    span: listening.Span | None
    sections: tuple[Section, ...]

    @property
    def streams(self) -> int:
        hours = next((section.rows for section in self.sections if section.title == ACTIVITY), None)
        return 0 if hours is None else sum(hours["streams"].to_pylist())

    @property
    def subtitle(self) -> str:
        """Of what the page is, in one line."""
        if self.span is None:
            return "There are no streams in the lake yet."
        return (
            f"{self.streams:,} listens from {self.span.first} to {self.span.last}, "
            f"the newest of {self.span.newest:%Y-%m-%d %H:%M} UTC"
        )

    @property
    def markdown(self) -> str:
        """The analytics as tables in Markdown, of each the first lines."""
        parts = [self.subtitle]
        for section in self.sections:
            shown = section.lines[:MOST_LINES_OF_A_PREVIEW]
            header = [list(section.names.values()), ["---"] * len(section.names)]
            lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [*header, *shown]]
            parts.append("\n".join([f"**{section.title}**", "", *lines]))
        return "\n\n".join(parts)


TOP_SONGS, ACTIVITY, USERS, STATES = (
    "Top songs",
    "Activity by hour (UTC)",
    "Users by level and gender",
    "Listens by state",
)


def ask(lake: LakePaths) -> Report:
    """The answers that the page shows, over all streams of the lake."""
    span = listening.span_of(lake)
    if span is None:
        return Report(None, ())
    days = listening.filters_of(span, span.first, span.last)
    sections = (
        Section(
            TOP_SONGS,
            listening.top_songs(lake, days),
            {"songName": "song", "artistName": "artist", "streams": "listens"},
        ),
        Section(ACTIVITY, listening.streams_by_hour_of_day(lake, days), {"hour": "hour", "streams": "listens"}),
        Section(
            USERS,
            listening.users_by_level_and_gender(lake, days),
            {"level": "level", "gender": "gender", "users": "users", "streams": "listens"},
            note="Who changed level counts for both.",
        ),
        Section(
            STATES,
            listening.streams_by_state(lake, days),
            {"state": "state", "streams": "listens"},
            note="A listen of no known state is in the table only.",
        ),
    )
    return Report(span, sections)


def page(report: Report, made: Made) -> str:
    """The report as one HTML page: its charts are SVG in it, and below each are its numbers."""
    sections = "".join(
        f"<section><h2>{escape(section.title)}</h2>\n{_svg(section)}\n"
        + (f"<p>{escape(section.note)}</p>\n" if section.note else "")
        + f"<details><summary>Numbers</summary>\n{_table(section)}\n</details></section>\n"
        for section in report.sections
    )
    return _PAGE.format(
        made=escape(json.dumps({name: [state.table_id, state.version] for name, state in made.items()})),
        subtitle=escape(report.subtitle),
        sections=sections,
    )


def is_outdated(lake: LakePaths) -> bool:
    """Whether there are tables to make the page from, of which it doesn't have all rows. Reads logs, and the page."""
    opened = {table: lake.open(table) for table in SOURCES}
    if not any(opened.values()):
        return False
    text = read_document(lake.root, PATH)
    made = {} if text is None else _made(text)
    for table, found in opened.items():
        known = made.get(table.full_name)
        if (found is None) != (known is None):
            return True
        if found is not None and known is not None and delta.has_changed(found, known):
            return True
    return text is None


def write(lake: LakePaths) -> Report:
    """Write the page anew, in the place of the one that is there, and return what it shows."""
    # Before anything is asked: the page may be newer than it says, but never older.
    states = {table.full_name: lake.state(table) for table in SOURCES}
    report = ask(lake)
    made = {name: state for name, state in states.items() if state is not None}
    write_document(lake.root, PATH, page(report, made))
    return report


def location(lake: LakePaths) -> str:
    """The page's path or URI."""
    return f"{lake.root}/{PATH}"


def _made(text: str) -> dict[str, delta.TableState]:
    """From which versions the page says that it was made; nothing where it is no page of this kind."""
    from html import unescape

    found = re.search(r'<meta name="made-from" content="([^"]*)">', text)
    made = {} if found is None else json.loads(unescape(found[1]))
    return {name: delta.TableState(table_id, version) for name, (table_id, version) in made.items()}


def _svg(section: Section) -> str:
    import vl_convert

    from music_lakehouse.dashboard import charts

    of_titles: dict[str, Callable[[pa.Table], Any]] = {
        TOP_SONGS: lambda rows: charts.ranking(rows, ["songName", "artistName"]),
        ACTIVITY: charts.activity,
        USERS: charts.levels,
        STATES: lambda rows: charts.state_map(rows, None),
    }
    chart = of_titles[section.title](section.rows).properties(width=WIDTH).configure(font=FONT)
    drawn: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return drawn


def _table(section: Section) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in section.names.values())
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in section.lines)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="made-from" content="{made}">
<title>Listening report</title>
<style>
body {{ font-family: sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #222 }}
h1 {{ margin-bottom: 0.2rem }}
main {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(36rem, 1fr)); gap: 1rem 2rem }}
section {{ padding: 0 2rem }}
/* Where the reader's font is wider than the one that was measured, a label is not cut off. */
svg {{ max-width: 100%; height: auto; overflow: visible }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: 0.1rem 0.8rem 0.1rem 0; border-bottom: 1px solid #ddd }}
p, summary {{ color: #555 }}
</style>
</head>
<body>
<h1>Listening report</h1>
<p>{subtitle}</p>
<main>
{sections}</main>
</body>
</html>
"""
