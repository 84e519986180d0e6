"""Rows of a file fitted to the columns of a table; what doesn't fit is kept as text."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

_DOES_NOT_FIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def fitted(rows: pa.Table, schema: pa.Schema, *, rescued: str) -> pa.Table:
    """The rows with the schema's columns and types. A column that they lack is null; a value that can't become its
    column's type is null there, and in the column `rescued` as JSON, by the column's name."""
    misfits: dict[int, dict[str, Any]] = {}
    columns = [
        _fitted_column(rows[field.name], field, misfits) if field.name in rows.column_names else _nulls(rows, field)
        for field in schema
    ]
    if misfits:
        texts = columns[schema.names.index(rescued)].to_pylist()
        kept = [json.dumps(misfits[n], default=str) if n in misfits else text for n, text in enumerate(texts)]
        columns[schema.names.index(rescued)] = pa.chunked_array([pa.array(kept, pa.string())])
    return pa.table(columns, schema=schema)


def _fitted_column(values: pa.ChunkedArray, field: pa.Field, misfits: dict[int, dict[str, Any]]) -> pa.ChunkedArray:
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


def _nulls(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
