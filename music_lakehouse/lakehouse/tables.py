"""The declaration of a table, from which its creation, its asset, its documentation and its tests are derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

ARROW_TYPES = {
    "STRING": pa.string(),
    "BINARY": pa.binary(),
    "BIGINT": pa.int64(),
    "INT": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "ARRAY<STRING>": pa.list_(pa.string()),
    # An amount, and the product of two.
    "DECIMAL(15,2)": pa.decimal128(15, 2),
    "DECIMAL(32,4)": pa.decimal128(32, 4),
    # A sum of whole numbers of 64 bits.
    "DECIMAL(38,0)": pa.decimal128(38, 0),
}
"""The types that a column may have, by their names in Spark SQL."""

_ORDERED = ("TIMESTAMP", "DATE", "BIGINT", "INT")
CHANGE_FEED = {"delta.enableChangeDataFeed": "true"}
# Maintenance leaves the files of seven and a half days: of versions before that the log is of no use, and all that it
# has is looked at whenever a table is opened.
LOG = {"delta.logRetentionDuration": "interval 8 days", "delta.checkpointInterval": "50"}


@dataclass(frozen=True)
class Column:
    """A column: its name, its Spark SQL type, and what a reader should know of it.

    `pii` marks what is, or may hold, personal data; `pseudonym` a number or key that stands for one person, or for what
    one person did: masked views leave out the former and hash the latter. `sources` are the columns that it comes from,
    as layer.table.column.
    """

    name: str
    type: str
    comment: str
    pii: bool = False
    pseudonym: bool = False
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A Delta table at `<lake>/<layer>/<name>`.

    `key` names the columns that identify a row (the grain); `partition_by` says how it lies on disk; `properties` are
    Delta table properties beside the lake's own.
    """

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    owner: str = "team:data-platform"

    def __hash__(self) -> int:
        return hash((self.layer, self.name))

    @property
    def full_name(self) -> str:
        """`layer.name`, as SQL names the table."""
        return f"{self.layer}.{self.name}"

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def contains_pii(self) -> bool:
        return any(column.pii for column in self.columns)

    @property
    def ddl(self) -> str:
        """The columns as Spark SQL, for an empty frame or a schema."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)

    @property
    def all_properties(self) -> dict[str, str]:
        """The Delta table properties with which the table is created."""
        pii = {"contains_pii": "true"} if self.contains_pii else {}
        return {**CHANGE_FEED, **LOG, **self._statistics, **pii, **self.properties}

    @property
    def _statistics(self) -> dict[str, str]:
        """Of times and whole numbers each file's least and greatest value are kept, so that files can be left out by
        them. Of texts, mostly hashes and names in no order, they would leave out none, and take a third of the time
        that writing takes."""
        ordered = [c.name for c in self.columns if c.type in _ORDERED and c.name not in self.partition_by]
        if not ordered:
            return {"delta.dataSkippingNumIndexedCols": "0"}
        return {"delta.dataSkippingStatsColumns": ",".join(ordered)}

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow has them, with their comments as delta-rs keeps them."""
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.type], metadata={"comment": c.comment}) for c in self.columns])


Sources = tuple[str, ...]
"""Columns that another one's values come from, each as layer.table.column."""


def table_and_column(source: str) -> tuple[str, str]:
    """The table (layer.table) and the column of a source."""
    table, _, column = source.rpartition(".")
    return table, column


def columns_of(table: Table, *names: str) -> Sources:
    """Columns of a table as sources."""
    return tuple(f"{table.full_name}.{name}" for name in names)


def traced(columns: tuple[Column, ...], sources: Mapping[str, Sources]) -> tuple[Column, ...]:
    """The columns with their sources, each of them by its name. Raises KeyError where one has none."""
    return tuple(replace(column, sources=sources[column.name]) for column in columns)
