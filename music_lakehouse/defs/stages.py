"""Keyed steps as assets."""

from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from music_lakehouse.defs.shell import (
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
        lake = lakehouse.lake
        before = {step.table: version_of(lake, step.table) for step in steps}
        work = {s.table: find_work(lake, s) for s in steps if asset_key(s.table) in context.selected_asset_keys}

        def keep(table: Table) -> dg.MaterializeResult:
            report = do_work(lake, work[table])
            return materialized(
                context,
                lake,
                table,
                before=before[table],
                whole=report.changes.anew,
                metadata={
                    **report.written.figures,
                    "source_versions": report.changes.described(),
                    "duration_seconds": report.seconds,
                },
            )

        counts = [found.rows for found in work.values()]
        lake.expect(None if None in counts else max(filter(None, counts), default=0))
        yield from side_by_side(context, lake, work, keep)

    return kept
