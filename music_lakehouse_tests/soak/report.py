"""The report of a soak: one HTML page with its verdicts, its faults and its plot, and the plot beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path

from music_lakehouse_tests.soak.judgement import Verdict, recoveries
from music_lakehouse_tests.soak.plot import draw
from music_lakehouse_tests.soak.record import Record
from music_lakehouse_tests.soak.sizing import sizes

HELD = {True: "held", False: "failed", None: "too short to tell"}


def write(record: Record, verdicts: Sequence[Verdict], directory: Path) -> Path:
    """Write the page and the plot (SVG and PNG) into the directory; the page's path."""
    import vl_convert

    directory.mkdir(parents=True, exist_ok=True)
    plot = draw(record)
    svg: str = vl_convert.vegalite_to_svg(plot)
    (directory / "soak.svg").write_text(svg)
    (directory / "soak.png").write_bytes(vl_convert.vegalite_to_png(plot, scale=1.5))
    page = directory / "soak.html"
    page.write_text(_PAGE.format(title=_title(record), svg=svg, sections="\n".join(_sections(record, verdicts))))
    return page


def _title(record: Record) -> str:
    began = datetime.fromtimestamp(record.began, timezone.utc)
    minutes = (record.stopped - record.began) / 60
    return (
        f"{minutes:.0f} minutes at {record.rate:g} events a second, {record.dirty:.0%} of the messages with a fault, "
        f"seed {record.seed}, begun {began:%Y-%m-%d %H:%M} UTC"
    )


def _sections(record: Record, verdicts: Sequence[Verdict]) -> Iterable[str]:
    yield _table(
        "Verdicts",
        ("criterion", "", "by what that is known"),
        [(verdict.name, HELD[verdict.held], verdict.told) for verdict in verdicts],
    )
    yield _table(
        "Faults",
        ("minute", "fault", "what was done", "the pipeline succeeded again after"),
        [
            (
                f"{(fault.since - record.began) / 60:.1f}",
                fault.kind,
                fault.told,
                "never" if after is None else f"{after:.0f} s",
            )
            for fault, after in zip(record.happened, recoveries(record), strict=True)
        ],
    )
    for title, header, rows in sizes(record):
        yield _table(title, header, rows)
    yield _table(
        "Runs",
        ("minute", "job", "how it ended", "seconds", "errors"),
        [
            (
                "" if run.since is None else f"{(run.since - record.began) / 60:.1f}",
                run.job,
                run.status.lower(),
                "" if run.since is None or run.until is None else f"{run.until - run.since:.0f}",
                "; ".join(run.errors),
            )
            for run in record.runs
        ],
    )


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2>\n<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Soak</title>
<style>
body {{ font-family: sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #222 }}
svg {{ max-width: 100%; height: auto; overflow: visible }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: 0.1rem 0.8rem 0.1rem 0; border-bottom: 1px solid #ddd; white-space: pre-wrap }}
</style>
</head>
<body>
<h1>Soak</h1>
<p>{title}</p>
{svg}
{sections}
</body>
</html>
"""
