"""A database to extract from, and what has landed of it, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pydantic import SecretStr

from music_lakehouse.lakehouse.database import Database
from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT, MARKS, Landing
from music_lakehouse.lakehouse.sql_source import SourceTable

Row = dict[str, Any]
USERS = SourceTable("DimUser", "user_id", "updated_at")
DAYS = SourceTable("DimDate", "date_key")


class Source:
    """A database with a table of users and one of days, that tests change as they like."""

    def __init__(self, url: SecretStr) -> None:
        self.url = url
        self.database = Database(url, setting="CATALOGUE_DATABASE_URL", patience=0.2)
        self.is_sqlite = self.database.dialect == "sqlite"
        moment = "TEXT" if self.is_sqlite else "TIMESTAMP"
        self.run(f'CREATE TABLE "DimUser" (user_id INTEGER PRIMARY KEY, user_name TEXT, updated_at {moment})')
        self.run('CREATE TABLE "DimDate" (date_key INTEGER PRIMARY KEY, weekday TEXT)')

    def run(self, *statements: str) -> None:
        def work(connection: sa.Connection) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)

        self.database.write("the test", work)

    def put(self, *users: tuple[int, str | None, str | None]) -> None:
        """Insert the users, or change those that are there: id, name, time of the change."""
        values = ", ".join(f"({user}, {_sql(name)}, {_sql(at)})" for user, name, at in users)
        self.run(
            f'INSERT INTO "DimUser" (user_id, user_name, updated_at) VALUES {values} ON CONFLICT (user_id) '
            "DO UPDATE SET user_name = excluded.user_name, updated_at = excluded.updated_at"
        )

    def rows(self, table: SourceTable) -> dict[int, Row]:
        """The table's rows by key, as the driver gives them."""
        query = sa.text(f'SELECT * FROM "{table.name}"')
        found = self.database.read(table.name, lambda connection: connection.execute(query).mappings().all())
        return {row[table.key]: dict(row) for row in found}


def landed(landing: Landing) -> Iterator[list[Row]]:
    """What each file holds, oldest first."""
    return (pq.read_table(file).to_pylist() for file in landing.files())


def names(landing: Landing) -> list[list[Any]]:
    """The users' names in each file, oldest first."""
    return [[row["user_name"] for row in rows] for rows in landed(landing)]


def newest(landing: Landing, key: str) -> dict[int, Row]:
    """The source's rows as their last landing says, by key: without those that are deleted."""
    rows = [row for rows in landed(landing) for row in rows]
    last = {row[key]: row for row in sorted(rows, key=lambda row: row[EXTRACTED_AT])}
    return {value: _columns(row) for value, row in last.items() if not row[DELETED]}


def landed_again(landing: Landing, key: str) -> list[Row]:
    """The rows that landed though the landing before, of the same key, was the same."""
    last: dict[int, Row] = {}
    repeated = []
    for row in (row for rows in landed(landing) for row in rows):
        content = {**_columns(row), DELETED: row[DELETED]}
        if last.get(row[key]) == content:
            repeated.append(row)
        last[row[key]] = content
    return repeated


def known(rows: Mapping[int, Row], table: SourceTable) -> pa.Table:
    """Keys and watermarks as a silver table would have them."""
    columns = {table.key: pa.array(list(rows), pa.int64())}
    if table.watermark is not None:
        columns[table.watermark] = pa.array(
            [_moment(row[table.watermark]) for row in rows.values()], pa.timestamp("us")
        )
    return pa.table(columns)


def landing_of(directory: Path, table: SourceTable) -> Landing:
    return Landing(directory / table.name)


def _columns(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in MARKS.names}


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value if value is None else value.replace(tzinfo=None)
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _sql(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"
