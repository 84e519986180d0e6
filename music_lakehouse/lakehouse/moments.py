"""Stretches of time as predicates that Delta can leave out files by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse.ranges import qualified

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Moments:
    """The rows whose timestamp column (UTC) lies between two moments, both inclusive."""

    column: str
    first: datetime
    last: datetime

    @staticmethod
    def of(rows: DataFrame, column: str) -> Moments | None:
        """From the first to the last moment among the rows; None where there is none."""
        # As numbers: a time as Python has it would depend on the machine's time zone.
        ends = rows.agg(*(F.unix_micros(end(column)) for end in (F.min, F.max))).collect()[0]
        if ends[0] is None:
            return None
        return Moments.of_microseconds(column, *ends)

    @staticmethod
    def of_microseconds(column: str, first: int, last: int) -> Moments:
        """From one microsecond since 1970 (UTC) to another."""
        return Moments(column, *(_EPOCH + timedelta(microseconds=end) for end in (first, last)))

    @staticmethod
    def since(column: str, first: datetime) -> Moments:
        """From a moment on."""
        return Moments(column, first, datetime.max.replace(tzinfo=timezone.utc))

    def predicate(self, alias: str | None = None, *, quote: str = "`") -> str:
        """The moments as an SQL predicate; `quote` is what names are put in: Spark's, or that of others."""
        name = qualified(self.column, alias, quote)
        return f"{name} >= '{self.first.isoformat()}' AND {name} <= '{self.last.isoformat()}'"
