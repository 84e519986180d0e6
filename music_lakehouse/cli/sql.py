"""`music-lakehouse sql`: one SQL statement over the lake's tables."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from music_lakehouse.cli.console import instant, note, show_table

if TYPE_CHECKING:
    from music_lakehouse.lakehouse.masking import Masking
    from music_lakehouse.settings import Settings

SHOWN_ROWS = 100
LONGEST_CELL = 80
EXAMPLE = 'Example: music-lakehouse sql "SELECT artistName, total_streams FROM gold.artist_popularity ORDER BY 2 DESC"'


class Format(str, Enum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def sql(
    statement: Annotated[str, typer.Argument(help="SQL in DuckDB's dialect; tables are named layer.table.")],
    format_: Annotated[
        Format, typer.Option("--format", help="A table for reading, CSV with a header, or JSON, an object a line.")
    ] = Format.TABLE,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"Most rows to print; {SHOWN_ROWS} for a table, else all of them.")
    ] = None,
    masked: Annotated[
        bool, typer.Option("--masked", help="Without personal data: it is null, and pseudonyms are hashed.")
    ] = False,
) -> None:
    """Query the lake's tables with SQL, without starting Spark. Times are UTC. SHOW TABLES lists the tables."""
    from music_lakehouse.cli.query import query
    from music_lakehouse.settings import Settings

    if not statement.strip(" ;\n\t"):
        raise typer.BadParameter("the statement is empty", param_hint="STATEMENT")
    settings = Settings()
    with query(settings.lake_uri, statement, masking=_masking(settings) if masked else None) as result:
        if format_ is Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(result.columns)
            writer.writerows(map(_field, row) for row in islice(result.rows, limit))
        elif format_ is Format.JSON:
            for row in islice(result.rows, limit):
                values = dict(zip(result.columns, map(exchanged, row), strict=True))
                sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
        else:
            print_rows(result.columns, result.rows, right=result.numeric, limit=SHOWN_ROWS if limit is None else limit)


def _masking(settings: Settings) -> Masking:
    from music_lakehouse.defs.catalog import TABLES
    from music_lakehouse.lakehouse.masking import Masking

    return Masking.of(TABLES, settings.masking_key)


def print_rows(
    columns: Sequence[str], rows: Iterator[Sequence[Any]], *, right: Iterable[str] = (), limit: int, title: str = ""
) -> None:
    """The first rows as a table, and a note where there are more."""
    shown = [[cut(readable(value)) for value in row] for row in islice(rows, limit)]
    show_table(columns, shown, right=right, title=title)
    if next(rows, None) is not None:
        note(f"{len(shown)} rows are shown, there are more: --limit shows more of them")


def cut(text: str) -> str:
    """A text that is short enough for a cell, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_CELL else f"{line[: LONGEST_CELL - 1]}…"


def readable(value: Any) -> str:
    """A value for a reader: numbers as they are, as many of them are identifiers."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(readable, value))
    if isinstance(value, dict):
        return json.dumps(exchanged(value), ensure_ascii=False)
    return str(exchanged(value)) if isinstance(value, bytes) else str(value)


def exchanged(value: Any) -> Any:
    """A value for another program: times in ISO 8601 with Z, bytes in hexadecimal, what isn't a number as null."""
    if isinstance(value, datetime):
        whole = value.microsecond % 1000 == 0
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds" if whole else "microseconds") + "Z"
    if isinstance(value, (date, time, timedelta)):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, (list, tuple)):
        return [exchanged(part) for part in value]
    if isinstance(value, dict):
        return {str(key): exchanged(part) for key, part in value.items()}
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _field(value: Any) -> Any:
    """A value in a CSV file: what has parts as JSON."""
    plain = exchanged(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, (list, dict)) else plain
