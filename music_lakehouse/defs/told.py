"""What commands tell Dagster of tables that they wrote outside of any run."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from music_lakehouse.defs.shell import asset_key, version_of
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table


def tell(instance: dg.DagsterInstance, lake: LakePaths, tables: Iterable[Table], what: str) -> None:
    """Report a materialization of each of the tables that are there, with its rows and version as they are now; `what`
    was done to it, in a sentence, which names nobody."""
    for table in tables:
        version = version_of(lake, table)
        if version >= 0:
            figures: dict[str, int | str] = {"dagster/row_count": lake.rows(table), "table_version": version}
            figures["dagster/uri"] = lake.path(table)
            told = dg.AssetMaterialization(asset_key(table), description=what, metadata=figures)
            instance.report_runless_asset_event(told)
