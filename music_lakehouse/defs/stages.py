"""Keyed steps as assets."""

from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from music_lakehouse.defs.shell import (
    Context,
    asset_key,
    asset_spec,
    check_specs,
    materialized,
    retried,
    side_by_side,
    version_of,
)
from music_lakehouse.lakehouse.steps import Step, do_work, find_work
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.resources.lakehouse import LakehouseResource


def build_stage(
    name: str,
    steps: Sequence[Step],
    *,
    spec: Callable[[Table, list[dg.AssetKey]], dg.AssetSpec] = asset_spec,
) -> dg.AssetsDefinition:
    """The tables of steps of which none is another's source, as assets that are kept side by side.

    `spec` makes the asset's spec of a table and what it depends on.
    """

    @dg.multi_asset(
        name=name,
        specs=[spec(s.table, [asset_key(source) for source in (*s.sources, *s.after)]) for s in steps],
        check_specs=[one for s in steps for one in check_specs(s.table)],
        can_subset=True,
    )
    @retried
    def kept(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[dg.MaterializeResult]:
        yield from keep_stage(context, lakehouse, steps)

    return kept


def keep_stage(
    context: Context, lakehouse: LakehouseResource, steps: Sequence[Step], *, idle: bool = True
) -> Iterator[dg.MaterializeResult]:
    """Bring the selected tables of the steps, of which none is another's source, up to their sources' state, and yield
    what became of each; where nothing is new for one, only if `idle` says so."""
    lake = lakehouse.lake
    before = {step.table: version_of(lake, step.table) for step in steps}
    found = {s.table: find_work(lake, s) for s in steps if asset_key(s.table) in context.selected_asset_keys}
    work = {table: one for table, one in found.items() if idle or one}

    def keep(table: Table) -> dg.MaterializeResult:
        report = do_work(lake, work[table])
        count = report.changes.count
        return materialized(
            context,
            lake,
            table,
            before=before[table],
            whole=report.changes.anew,
            metadata={
                **({} if count is None else {"rows_read": count}),
                **report.written.figures,
                "source_versions": report.changes.described(),
                "pieces": report.pieces,
                "duration_seconds": report.seconds,
            },
        )

    counts = [one.rows for one in work.values()]
    lake.expect(None if None in counts else max(filter(None, counts), default=0))
    yield from side_by_side(context, lake, work, keep)
