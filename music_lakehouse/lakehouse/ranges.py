"""Ranges of a key as predicates that Delta can leave out files by."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Range:
    """The rows whose whole-number column lies between two values, both inclusive."""

    column: str
    first: int
    last: int

    @staticmethod
    def of(rows: DataFrame, column: str) -> Range | None:
        """From the least to the greatest value among the rows; None where there is none."""
        first, last = rows.agg(F.min(column), F.max(column)).collect()[0]
        return None if first is None else Range(column, first, last)

    def on(self, column: str) -> Range:
        """The same range of another column."""
        return Range(column, self.first, self.last)

    def predicate(self, alias: str | None = None, *, quote: str = "`") -> str:
        """The range as an SQL predicate with literals; `quote` is what names are put in: Spark's, or that of others."""
        name = qualified(self.column, alias, quote)
        return f"{name} >= {self.first} AND {name} <= {self.last}"


def qualified(column: str, alias: str | None, quote: str) -> str:
    """The column's name in SQL, in quotes, of the table that goes by the alias where one is given."""
    name = f"{quote}{column}{quote}"
    return f"{alias}.{name}" if alias else name
