"""Which columns of its sources a column comes from."""

from __future__ import annotations

import dagster as dg

from music_lakehouse.lakehouse.tables import Table, table_and_column


def of(table: Table) -> dg.TableColumnLineage | None:
    """The lineage of the table's columns that have one; None where none has."""
    deps = {column.name: [_dep(source) for source in column.sources] for column in table.columns if column.sources}
    return dg.TableColumnLineage(deps_by_column=deps) if deps else None


def _dep(source: str) -> dg.TableColumnDep:
    table, column = table_and_column(source)
    return dg.TableColumnDep(asset_key=dg.AssetKey(table.split(".")), column_name=column)
