"""The Dagster side of tables that follow a reference file."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from music_lakehouse.defs.shell import Context, asset_key, check_specs, materialized, version_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.reference import Reference, load_reference

READABLE = "file_readable"


def reference_check_specs(reference: Reference) -> list[dg.AssetCheckSpec]:
    """The asset checks of a table that follows a file: those of the table, and whether all of the file can be read."""
    readable = dg.AssetCheckSpec(
        READABLE,
        asset=asset_key(reference.table),
        description=f"{reference.file_name} is there, and all of it can be read",
    )
    return [readable, *check_specs(reference.table)]


def follow_reference(context: Context, lake: Lake, reference: Reference, directory: Path) -> dg.MaterializeResult:
    """Load the file from the directory where it changed, and report that."""
    table = reference.table
    before = version_of(lake, table)
    report = load_reference(lake, reference, directory)
    readable = dg.AssetCheckResult(
        asset_key=asset_key(table),
        check_name=READABLE,
        passed=not report.problems,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"problems": "; ".join(report.problems)},
    )
    result = materialized(
        context,
        lake,
        table,
        before=before,
        whole=report.anew,
        metadata={
            **report.written.figures,
            "duration_seconds": report.seconds,
        },
    )
    return result._replace(check_results=[readable, *(result.check_results or ())])
