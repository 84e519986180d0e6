"""Rows of a file fitted to the columns of a table; what doesn't fit is kept as text."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa

_DOES_NOT_FIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def fitted(rows: pa.Table, schema: pa.Schema, *, rescued: str) -> pa.Table:
    """The rows with the schema's columns and types. A column that they lack is null; a value that can't become its
    column's type is null there, and in the column `rescued` as JSON, by the column's name, beside what the rows bring
    along in it. Text becomes a time or a date where it is one in ISO format, without a time zone in UTC."""
    misfits: dict[int, dict[str, Any]] = {}
    columns = [
        _fitted_column(rows[field.name], field, misfits) if field.name in rows.column_names else _nulls(rows, field)
        for field in schema
    ]
    if misfits:
        texts = columns[schema.names.index(rescued)].to_pylist()
        kept = [_with(misfits[n], text) if n in misfits else text for n, text in enumerate(texts)]
        columns[schema.names.index(rescued)] = pa.chunked_array([pa.array(kept, pa.string())])
    return pa.table(columns, schema=schema)


def _fitted_column(values: pa.ChunkedArray, field: pa.Field, misfits: dict[int, dict[str, Any]]) -> pa.ChunkedArray:
    if pa.types.is_string(values.type) and (pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)):
        return _times(values, field, misfits)
    try:
        return values.cast(field.type)
    except _DOES_NOT_FIT:
        fitting = []
    # Hardly ever: then each value by itself.
    for row, value in enumerate(values):
        try:
            fitting.append(value.cast(field.type).as_py())
        except _DOES_NOT_FIT:
            fitting.append(None)
            misfits.setdefault(row, {})[field.name] = value.as_py()
    return pa.chunked_array([pa.array(fitting, field.type)])


def _times(texts: pa.ChunkedArray, field: pa.Field, misfits: dict[int, dict[str, Any]]) -> pa.ChunkedArray:
    """Text as times or dates of the years 1 to 9999."""
    name = "DATE" if pa.types.is_date(field.type) else "TIMESTAMPTZ"
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("texts", pa.table({"text": texts}))
        read = engine.sql(
            "SELECT CASE WHEN isfinite(value) AND year(value) BETWEEN 1 AND 9999 THEN value END AS value "
            f"FROM (SELECT try_cast(text AS {name}) AS value FROM texts)"
        ).to_arrow_table()["value"]
    if read.null_count > texts.null_count:
        for row, (text, value) in enumerate(zip(texts.to_pylist(), read.is_null().to_pylist(), strict=True)):
            if value and text is not None:
                misfits.setdefault(row, {})[field.name] = text
    return read.cast(field.type)


def _with(misfits: dict[str, Any], rescued: str | None) -> str:
    """The values that don't fit, with those that were set aside before; what is no JSON object gives way to them."""
    try:
        before = json.loads(rescued or "{}")
    except ValueError:
        before = {}
    return json.dumps({**(before if isinstance(before, dict) else {}), **misfits}, default=str)


def _nulls(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
