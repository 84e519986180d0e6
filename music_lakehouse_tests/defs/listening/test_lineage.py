"""Which columns of its sources a column comes from: named for all, and all that are named exist."""

from __future__ import annotations

import dagster as dg
import pytest

from music_lakehouse.definitions import defs
from music_lakehouse.defs import lineage
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.defs.listening.tables import QUARANTINE, REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.shell import asset_key
from music_lakehouse.lakehouse.tables import Column, Table, table_and_column, traced

FROM_OUTSIDE = {REFERENCE_SONGS, REFERENCE_STATES}
DERIVED = [table for table in TABLES.values() if table.layer != "raw" and table not in FROM_OUTSIDE]


@pytest.mark.parametrize("table", DERIVED, ids=lambda table: table.full_name)
def test_every_column_of_a_derived_table_names_columns_that_exist(table: Table) -> None:
    assert [column.name for column in table.columns if not column.sources] == []
    for column in table.columns:
        for source in column.sources:
            name, source_column = table_and_column(source)
            assert source_column in TABLES[name].column_names, f"{column.name} comes from {source}, which is not there"


@pytest.mark.parametrize("table", DERIVED, ids=lambda table: table.full_name)
def test_columns_come_from_the_assets_upstream_and_from_no_others(table: Table) -> None:
    graph = defs.resolve_asset_graph()
    upstream = graph.get(asset_key(table)).parent_keys
    further = {key for parent in upstream for key in graph.get(parent).parent_keys}
    named = {dg.AssetKey(source.split(".")[:2]) for column in table.columns for source in column.sources}

    assert named
    # Quarantine is written with bronze, whose assets it follows.
    assert named <= upstream | (further if table is QUARANTINE else set())


def test_dagster_is_told_of_each_source() -> None:
    told = lineage.of(WIDE_STREAMS)

    assert told is not None
    assert told.deps_by_column["songName"] == [dg.TableColumnDep(dg.AssetKey(["silver", "dim_songs"]), "title")]
    assert set(told.deps_by_column) == set(WIDE_STREAMS.column_names)


def test_a_column_without_a_source_is_refused() -> None:
    with pytest.raises(KeyError, match="title"):
        traced((Column("title", "STRING", "the title"),), {"name": ("silver.dim_songs.title",)})
