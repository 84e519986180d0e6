"""Bronze tables that take landed files as assets."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import dagster as dg
from pyspark.sql import DataFrame

from music_lakehouse.defs.catalog import RULES
from music_lakehouse.defs.shell import (
    asset_spec,
    check_specs,
    column_schema,
    materialized,
    retried,
    side_by_side,
    version_of,
)
from music_lakehouse.lakehouse.changes import Change
from music_lakehouse.lakehouse.expectations import RuleResult, count_failures, results
from music_lakehouse.lakehouse.file_ingest import FileSource, ingest_files, waiting_files
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse.resources.files import Landing
from music_lakehouse.resources.lakehouse import LakehouseResource

# What a landed row has at least: more rows than there are do no harm.
_BYTES_A_ROW = 100


def landing_key(path: str) -> dg.AssetKey:
    """The asset of a directory or file below LANDING_ROOT."""
    return dg.AssetKey(["landing", *path.replace(".", "_").split("/")])


def landing_spec(path: str, description: str, table: Table, *, kind: str, columns: tuple[Column, ...]) -> dg.AssetSpec:
    """The asset of what lands at the path below LANDING_ROOT, for the table; nobody here makes it."""
    return dg.AssetSpec(
        landing_key(path),
        group_name="landing",
        kinds={kind},
        owners=[table.owner],
        description=description,
        metadata={"dagster/column_schema": column_schema(columns)},
    )


def build_landed_tables(
    name: str,
    sources: Mapping[Table, FileSource],
    judged: Mapping[Table, Callable[[Change], DataFrame]],
    *,
    description: str,
    also_from: Callable[[Table], Iterable[dg.AssetKey]] = lambda table: (),
    bytes_a_row: int = _BYTES_A_ROW,
) -> dg.AssetsDefinition:
    """The tables as assets that take the files of their sources, each once. `judged` gives, of each table that has
    rules, the rows that a change brought, marked with those that they break, which are its checks. `also_from` says
    what else lets files land in the table's directory; a row takes `bytes_a_row` of a file at least."""

    @dg.multi_asset(
        name=name,
        specs=[
            asset_spec(table, deps=[landing_key(source.directory), *also_from(table)])
            for table, source in sources.items()
        ],
        check_specs=[spec for table in sources for spec in check_specs(table)],
        can_subset=True,
        description=description,
    )
    @retried
    def landed(
        context: dg.AssetExecutionContext, lakehouse: LakehouseResource, landing: Landing
    ) -> Iterator[dg.MaterializeResult]:
        lake = lakehouse.lake

        def take(table: Table) -> dg.MaterializeResult:
            before, was_empty = version_of(lake, table), lake.rows(table) == 0
            taken = ingest_files(lake, landing.limited(sources[table]), landing.path)
            return materialized(
                context,
                lake,
                table,
                before=before,
                rule_results=(
                    _judge(lake, table, None if was_empty else before, judged)
                    if taken.rows
                    else results(RULES.get(table, ()), {})
                ),
                metadata={
                    "rows_inserted": taken.rows,
                    "rows_rescued": taken.rescued,
                    "columns_added": ", ".join(taken.new_columns),
                    "files_loaded": len(taken.loaded),
                    "files_repeated": len(taken.repeated),
                    "files_unreadable": len(taken.unreadable),
                    "files_changed": len(taken.changed),
                    "files_unfinished": len(taken.unfinished),
                    "duration_seconds": taken.seconds,
                },
            )

        size = sum(file.size for source in sources.values() for file in waiting_files(lake, source, landing.path))
        lake.expect(size // bytes_a_row)
        yield from side_by_side(context, lake, sources, take)

    return landed


def _judge(
    lake: Lake, table: Table, since: int | None, judged: Mapping[Table, Callable[[Change], DataFrame]]
) -> list[RuleResult]:
    """How the rules fare over the rows that were added after the version; None: over all."""
    state = lake.state(table)
    if state is None or table not in judged:
        return []
    rows = judged[table](Change(lake, table, state, since))
    return results(RULES[table], rows.agg(*count_failures(RULES[table])).collect()[0].asDict())
