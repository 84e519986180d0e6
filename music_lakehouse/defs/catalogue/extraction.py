"""What lands of the database, as assets: rows by watermark, and what the comparison of all keys finds."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from music_lakehouse.defs.catalogue.source import SOURCE_TABLES, directory_of, landing_of, nothing_to_read
from music_lakehouse.defs.catalogue.tables import BRONZE
from music_lakehouse.defs.landed_files import landing_key
from music_lakehouse.defs.shell import MOST_RETRIES, column_schema, retried
from music_lakehouse.lakehouse.database import Database, DatabaseError
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, ROW_NUMBER, SOURCE_FILE
from music_lakehouse.lakehouse.key_scan import scan_keys
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.sql_source import Extracted, extract
from music_lakehouse.resources.database import CatalogueDatabase
from music_lakehouse.resources.files import Landing
from music_lakehouse.resources.lakehouse import LakehouseResource

COLUMNS_CHECK, READABLE = "columns_unchanged", "table_readable"


def extraction_key(name: str) -> dg.AssetKey:
    return landing_key(directory_of(SOURCE_TABLES[name]))


def scan_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", "catalogue_key_scan", SOURCE_TABLES[name].name])


def _spec(key: dg.AssetKey, name: str, description: str) -> dg.AssetSpec:
    table = BRONZE[name]
    of_the_lake = (SOURCE_FILE, ROW_NUMBER, DATE_ADDED)
    return dg.AssetSpec(
        key,
        group_name="landing",
        kinds={"sqlalchemy", "parquet"},
        owners=[table.owner],
        description=description,
        tags={"contains_pii": "true"} if table.contains_pii else {},
        metadata={"dagster/column_schema": column_schema([c for c in table.columns if c.name not in of_the_lake])},
    )


def _readable_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(READABLE, asset=key, description="the source's table is there and can be read")


class ExtractionConfig(dg.Config):
    """What a run may be told."""

    full_refresh: bool = Field(default=False, description="read all rows again, whatever landed before")


@dg.multi_asset(
    name="extract_catalogue",
    specs=[
        _spec(
            extraction_key(name),
            name,
            f"Parquet files in LANDING_ROOT/catalogue/{table.name}: rows of the database's {table.name} that are new "
            "or changed since the last load.",
        )
        for name, table in SOURCE_TABLES.items()
    ],
    check_specs=[
        *(_readable_spec(extraction_key(name)) for name in SOURCE_TABLES),
        *(
            dg.AssetCheckSpec(
                COLUMNS_CHECK,
                asset=extraction_key(name),
                description="the source's table has the columns that it had when it landed before",
            )
            for name in SOURCE_TABLES
        ),
    ],
    can_subset=True,
)
@retried
def extracted(
    context: dg.AssetExecutionContext,
    config: ExtractionConfig,
    lakehouse: LakehouseResource,
    landing: Landing,
    catalogue_database: CatalogueDatabase,
) -> Iterator[dg.MaterializeResult]:
    """What is new in the database, landed as files. Takes the lake's lock, so that no other run lands meanwhile, and
    starts no JVM."""
    database = _readable(catalogue_database)
    lakehouse.hold()

    def load(name: str) -> dg.MaterializeResult:
        table = SOURCE_TABLES[name]
        done = extract(database, table, landing_of(landing.path, table), full_refresh=config.full_refresh)
        context.log.info(f"{table.name}: {done.landed} of {done.read} rows landed in {done.files} files")
        return dg.MaterializeResult(
            asset_key=extraction_key(name),
            metadata=_extraction_figures(done),
            check_results=[_columns_check(name, done)],
        )

    yield from _each_table(context, extraction_key, load)


def _extraction_figures(done: Extracted) -> dict[str, Any]:
    return {
        "rows_read": done.read,
        "rows_inserted": done.landed,
        "rows_rescued": done.rescued,
        "files": done.files,
        "full": done.full,
        "high_watermark": str(done.high_watermark or ""),
        "columns_added": ", ".join(done.added_columns),
        "columns_lost": ", ".join(done.lost_columns),
        "duration_seconds": done.seconds,
    }


def _columns_check(name: str, done: Extracted) -> dg.AssetCheckResult:
    changed = (*done.added_columns, *done.lost_columns)
    return dg.AssetCheckResult(
        asset_key=extraction_key(name),
        check_name=COLUMNS_CHECK,
        passed=not changed,
        severity=dg.AssetCheckSeverity.WARN,
        description="a column that was added lands from now on, one that was lost is null from now on",
        metadata={
            "rows": len(changed),
            "failed": len(changed),
            "columns_added": ", ".join(done.added_columns),
            "columns_lost": ", ".join(done.lost_columns),
        },
    )


class KeyScanConfig(dg.Config):
    """What a run may be told."""

    allow_empty: bool = Field(
        default=False, description="believe that all rows of a table were deleted where it is found empty"
    )


@dg.multi_asset(
    name="scan_catalogue_keys",
    specs=[
        _spec(
            scan_key(name),
            name,
            f"Parquet files in LANDING_ROOT/catalogue/{table.name}: rows that are gone from the database's "
            f"{table.name}, and rows that no watermark told of: found by comparing all keys with those of the lake.",
        )
        for name, table in SOURCE_TABLES.items()
    ],
    check_specs=[_readable_spec(scan_key(name)) for name in SOURCE_TABLES],
    can_subset=True,
)
@retried
def scanned(
    context: dg.AssetExecutionContext,
    config: KeyScanConfig,
    lakehouse: LakehouseResource,
    landing: Landing,
    catalogue_database: CatalogueDatabase,
) -> Iterator[dg.MaterializeResult]:
    """What a watermark can't show, landed as files. Takes the lake's lock, and starts no JVM."""
    database = _readable(catalogue_database)
    lakehouse.hold()

    def scan(name: str) -> dg.MaterializeResult:
        table = SOURCE_TABLES[name]
        known = known_keys(lakehouse.paths, name)
        done = scan_keys(database, table, landing_of(landing.path, table), known, allow_empty=config.allow_empty)
        context.log.info(f"{table.name}: of {done.keys} keys {done.outdated} landed again; {done.deleted} are gone")
        return dg.MaterializeResult(
            asset_key=scan_key(name),
            metadata={
                "keys": done.keys,
                "rows_deleted": done.deleted,
                "rows_updated": done.outdated,
                "files": done.files,
                "duration_seconds": done.seconds,
            },
        )

    yield from _each_table(context, scan_key, scan)


def known_keys(lake: LakePaths, name: str) -> pa.Table:
    """Key and watermark of every row that the lake knows to be in the database, by what landed last of each key: rows
    that silver refuses are among them, and those that are known to be deleted are not."""
    source, bronze = SOURCE_TABLES[name], BRONZE[name]
    columns = [source.key, *([source.watermark] if source.watermark else [])]
    found = lake.open(bronze)
    there = [] if found is None else [field.name for field in found.schema().fields]
    if not set(columns) <= set(there):
        # Nothing landed yet of a table whose columns are those of its files.
        return pa.table({column: pa.array([], pa.int64()) for column in columns})
    return query(
        lake,
        f"""
        SELECT {", ".join(columns)} FROM (
            SELECT *, row_number() OVER (
                PARTITION BY {source.key} ORDER BY {EXTRACTED_AT} DESC, {SOURCE_FILE} DESC, {ROW_NUMBER} DESC
            ) AS age
            FROM (SELECT {", ".join((*columns, DELETED, EXTRACTED_AT, SOURCE_FILE, ROW_NUMBER))} FROM {{landed}})
            WHERE {source.key} IS NOT NULL
        ) WHERE age = 1 AND NOT {DELETED}
        """,
        landed=bronze,
    )


def _readable(resource: CatalogueDatabase) -> Database:
    """The database. Raises DatabaseError where there is none, or none of the tables in it."""
    nothing = nothing_to_read(resource.database)
    if nothing is not None:
        raise DatabaseError(nothing, retriable=False)
    return resource.database


def _each_table(
    context: dg.AssetExecutionContext, key_of: Callable[[str], dg.AssetKey], work: Callable[[str], dg.MaterializeResult]
) -> Iterator[dg.MaterializeResult]:
    """Do the work for each table that the run selects. Where one can't be read the others are done first; then all is
    tried again, as often as may help. What is left after that is told by the table's check, and the rest goes on.
    Raises DatabaseError where none could be read, or to try again may help."""
    selected = [name for name in SOURCE_TABLES if key_of(name) in context.selected_asset_keys]
    errors: dict[str, DatabaseError] = {}
    for name in selected:
        try:
            result = work(name)
        except DatabaseError as error:
            errors[name] = error
        else:
            yield _told(result, passed=True)
    may_help = any(each.retriable for each in errors.values())
    if errors and (len(errors) == len(selected) or (may_help and context.retry_number < MOST_RETRIES)):
        raise DatabaseError("; ".join(dict.fromkeys(map(str, errors.values()))), retriable=may_help)
    for name, unread in errors.items():
        context.log.error(str(unread))
        result = dg.MaterializeResult(asset_key=key_of(name), metadata={"error": str(unread)})
        yield _told(result, passed=False, description=str(unread))


def _told(result: dg.MaterializeResult, *, passed: bool, description: str | None = None) -> dg.MaterializeResult:
    """The result with the check of whether its table could be read."""
    check = dg.AssetCheckResult(
        asset_key=result.asset_key,
        check_name=READABLE,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=description,
        metadata={"rows": 1, "failed": int(not passed)},
    )
    return result._replace(check_results=[check, *(result.check_results or ())])
