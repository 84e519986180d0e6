"""Sets of days as predicates that Delta can prune files and partitions by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse.lake import Rows
from music_lakehouse.lakehouse.ranges import qualified


@dataclass(frozen=True)
class Days:
    """The rows whose date or timestamp column (UTC) falls on certain days, as ranges of whole days."""

    column: str
    ranges: tuple[tuple[date, date], ...]

    @staticmethod
    def of(column: str, days: Iterable[date]) -> Days:
        """The given days; neighbouring ones become one range."""
        ranges: list[tuple[date, date]] = []
        for day in sorted(set(days)):
            if ranges and day - ranges[-1][1] <= timedelta(days=1):
                ranges[-1] = (ranges[-1][0], day)
            else:
                ranges.append((day, day))
        return Days(column, tuple(ranges))

    def on(self, column: str) -> Days:
        """The same days of another column."""
        return Days(column, self.ranges)

    def predicate(self, alias: str | None = None, *, quote: str = "`") -> str:
        """The days as an SQL predicate with literals; `quote` is what names are put in: Spark's, or that of others."""
        name = qualified(self.column, alias, quote)
        ranges = (f"({name} >= '{first}' AND {name} < '{last + timedelta(days=1)}')" for first, last in self.ranges)
        return " OR ".join(ranges) or "false"


def days_of(rows: Rows, column: str, *, until: str | None = None) -> list[date]:
    """The distinct days of a timestamp or date column; with `until`, all days from `column` to that one, both
    inclusive.
    """
    if not isinstance(rows, DataFrame):
        return _days_here(rows, column, until or column)
    days = F.to_date(column)
    if until is not None:
        days = F.explode(F.sequence(days, F.greatest(days, F.to_date(until))))
    return [row[0] for row in rows.select(days.alias("day")).distinct().collect() if row[0] is not None]


def _days_here(rows: pa.Table, column: str, until: str) -> list[date]:
    ends = pa.table({"first": rows[column].cast(pa.date32()), "last": rows[until].cast(pa.date32())})
    known = ends.group_by(["first", "last"]).aggregate([]).to_pylist()
    return list(
        {
            row["first"] + timedelta(days=later)
            for row in known
            if row["first"] is not None
            for later in range(max((row["last"] - row["first"]).days, 0) + 1 if row["last"] is not None else 1)
        }
    )
