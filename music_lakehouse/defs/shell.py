"""The Dagster side that all tables share: what an asset says of its table, and what a run reports of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import as_completed
from functools import wraps
from typing import Any, Protocol

import dagster as dg

from music_lakehouse.defs import lineage
from music_lakehouse.defs.catalog import CHECKS, RULES, find_table
from music_lakehouse.defs.failures import RETRIED_ERRORS
from music_lakehouse.lakehouse.broken_laws import evaluate_laws
from music_lakehouse.lakehouse.checks import Outcome
from music_lakehouse.lakehouse.database import DatabaseError
from music_lakehouse.lakehouse.errors import explained
from music_lakehouse.lakehouse.expectations import RuleResult, record_results
from music_lakehouse.lakehouse.kafka_access import BrokerAccessError
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.tables import Column, Table

MOST_RETRIES = 4
FIRST_RETRY_SECONDS = 5.0
MOST_AT_ONCE = 4
MOST_LARGE_AT_ONCE = 2


class Context(Protocol):
    """What it takes to keep tables: Dagster's context of a run's assets is one, a micro-batch of continuous mode is
    another."""

    @property
    def run(self) -> dg.DagsterRun: ...

    @property
    def log(self) -> dg.DagsterLogManager: ...

    @property
    def selected_asset_keys(self) -> AbstractSet[dg.AssetKey]: ...

    @property
    def selected_asset_check_keys(self) -> AbstractSet[dg.AssetCheckKey]: ...


def asset_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey([table.layer, table.name])


def column_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """The columns as Dagster shows them, personal data marked."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, description=column.comment, tags=_tags(column))
            for column in columns
        ]
    )


def _tags(column: Column) -> dict[str, str]:
    return {**({"pii": ""} if column.pii else {}), **({"pseudonym": ""} if column.pseudonym else {})}


def asset_spec(
    table: Table, deps: Iterable[dg.AssetKey] = (), *, metadata: Mapping[str, Any] | None = None, **more: Any
) -> dg.AssetSpec:
    """The asset of a table, as far as its declaration tells; `metadata` and `more` are added."""
    columns = lineage.of(table)
    return dg.AssetSpec(
        asset_key(table),
        deps=list(deps),
        group_name=table.layer,
        kinds={"pyspark", "deltalake"},
        owners=[table.owner],
        description=table.description,
        tags={"contains_pii": "true"} if table.contains_pii else {},
        metadata={
            "dagster/column_schema": column_schema(table.columns),
            "dagster/table_name": table.full_name,
            "dagster/storage_kind": "deltalake",
            "key": ", ".join(table.key),
            **({"dagster/column_lineage": columns} if columns else {}),
            **(metadata or {}),
        },
        **more,
    )


def check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    """The asset checks of a table: its rules and its checks. What is an error stops what is downstream."""
    return [
        *(
            dg.AssetCheckSpec(rule.name, asset=asset_key(table), description=rule.description, blocking=True)
            for rule in RULES.get(table, ())
        ),
        *(
            dg.AssetCheckSpec(check.name, asset=asset_key(table), description=check.description, blocking=check.error)
            for check in CHECKS.get(table, ())
        ),
    ]


def side_by_side(
    context: Context,
    lake: Lake,
    tables: Iterable[Table],
    work: Callable[[Table], dg.MaterializeResult],
) -> Iterator[dg.MaterializeResult]:
    """Do the work for those of the tables that the run selects, and yield the results as they come.

    Small changes are done at the same time: of each Spark mostly waits for its own planning and for single tasks. Of
    large ones two: while one is planned or committed, the other has all cores. Where one fails, the others are done
    before its error is raised, with a note of the table.
    """
    selected = [table for table in tables if asset_key(table) in context.selected_asset_keys]
    pool = lake.pool(MOST_AT_ONCE if lake.small else MOST_LARGE_AT_ONCE)
    errors = []
    try:
        doing = {pool.submit(work, table): table for table in selected}
        for done in as_completed(doing):
            error = done.exception()
            if error is not None:
                note(error, doing[done].full_name)
                errors.append(error)
            else:
                yield _selected_checks(context, done.result())
    finally:
        # After an interrupt nobody waits here: the session ends first, and with it what still runs.
        pool.shutdown(wait=False, cancel_futures=True)
    if errors:
        raise _as_one(context, errors)


def note(error: BaseException, table: str) -> None:
    """Note with the error which table (`layer.table`) it came with."""
    # Not as one of Python's notes: those become lines of the error's text, where Dagster shows it.
    vars(error)["tables_noted"] = [*noted(error), table]


def noted(error: BaseException) -> list[str]:
    """The tables that were noted with the error."""
    return list(vars(error).get("tables_noted", ()))


def _as_one(context: Context, errors: Sequence[BaseException]) -> BaseException:
    """The first error; with the texts of all where they are of one kind of ours. Others are logged."""
    first, texts = errors[0], dict.fromkeys(map(str, errors))
    kinds = {type(error) for error in errors}
    if len(texts) > 1 and len(kinds) == 1 and type(first).__module__.startswith("music_lakehouse."):
        one = type(first)("; ".join(texts))
        for table in dict.fromkeys(table for error in errors for table in noted(error)):
            note(one, table)
        return one
    for error in errors[1:]:
        context.log.error(f"{type(error).__name__}: {error}")
    return first


def _selected_checks(context: Context, result: dg.MaterializeResult) -> dg.MaterializeResult:
    chosen = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
    checks = [check for check in result.check_results or () if (check.asset_key, check.check_name) in chosen]
    return result._replace(check_results=checks)


def materialized(
    context: Context,
    lake: LakePaths,
    table: Table,
    *,
    before: int,
    metadata: Mapping[str, Any],
    rule_results: Sequence[RuleResult] = (),
    whole: bool = False,
) -> dg.MaterializeResult:
    """What a run did to the table: its figures, and its checks over the rows written after the version `before`, or
    over the `whole` table; and over what an earlier run found broken."""
    since = None if whole else before
    run_id = context.run.run_id
    outcomes = evaluate_laws(lake, table, CHECKS.get(table, ()), since=since, run_id=run_id, find_table=find_table)
    record_results(lake, table, run_id, rule_results, outcomes)
    state = lake.state(table)
    return dg.MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "dagster/row_count": lake.rows(table),
            "dagster/uri": lake.path(table),
            "table_version": state.version if state else 0,
            "versions_written": (state.version if state else -1) - before,
            **metadata,
        },
        check_results=[
            *(_rule_result(table, result) for result in rule_results),
            *(check_result(table, outcome) for outcome in outcomes),
        ],
    )


def version_of(lake: LakePaths, table: Table) -> int:
    """The table's newest version; -1 where there is no table."""
    state = lake.state(table)
    return -1 if state is None else state.version


def in_words(error: Exception, *, root: str, brokers: str) -> Exception:
    """The error that says in one line what this one means, where the cause lies outside; else the error itself."""
    # What brokers and databases say is told by their own errors, without secrets.
    own = isinstance(error, (*RETRIED_ERRORS, BrokerAccessError, DatabaseError))
    return error if own else explained(error, lake_root=root, brokers=brokers) or error


def retried(body: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """For an asset's generator that takes `lakehouse`, and perhaps `kafka`: says in one line what its errors mean where
    the cause lies outside, and tries again later, with growing distance, what passes by itself: a broker or a database
    that is down, a lake that is held, a Spark Connect server that is not there."""

    @wraps(body)
    def wrapper(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[Any]:
        try:
            yield from body(context, **resources)
        except Exception as error:
            brokers = resources["kafka"].bootstrap_servers if "kafka" in resources else ""
            cause = in_words(error, root=resources["lakehouse"].root, brokers=brokers)
            if isinstance(cause, RETRIED_ERRORS) or (isinstance(cause, DatabaseError) and cause.retriable):
                context.log.warning(str(cause))
                raise dg.RetryRequested(
                    max_retries=MOST_RETRIES, seconds_to_wait=FIRST_RETRY_SECONDS * 2**context.retry_number
                ) from cause
            if cause is error:
                raise
            raise cause from error

    return wrapper


def check_result(table: Table, outcome: Outcome, *, prefix: str = "") -> dg.AssetCheckResult:
    """One check's outcome as Dagster's result."""
    return dg.AssetCheckResult(
        asset_key=asset_key(table),
        check_name=f"{prefix}{outcome.check.name}",
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.ERROR if outcome.check.error else dg.AssetCheckSeverity.WARN,
        description=outcome.check.description,
        metadata={
            "rows": outcome.rows,
            "failed": outcome.failed,
            "threshold": outcome.check.threshold,
            **{name: str(value) for name, value in outcome.figures.items() if value is not None},
        },
    )


def _rule_result(table: Table, result: RuleResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset_key(table),
        check_name=result.rule.name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if result.intolerable else dg.AssetCheckSeverity.WARN,
        description=result.rule.description,
        metadata={
            "action": result.rule.action.value,
            "rows": result.rows,
            "failed": result.failed,
            "share": result.share,
            "threshold": result.rule.threshold,
        },
    )
