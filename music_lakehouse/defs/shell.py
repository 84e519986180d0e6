"""The Dagster side that all tables share: what an asset says of its table, and what a run reports of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import dagster as dg

from music_lakehouse.lakehouse.checks import Check, Outcome, evaluate
from music_lakehouse.lakehouse.errors import explained
from music_lakehouse.lakehouse.expectations import Rule, RuleResult, record_results
from music_lakehouse.lakehouse.kafka import BrokerUnavailableError
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLockedError
from music_lakehouse.lakehouse.tables import Column, Table

PASSING_ERRORS = (BrokerUnavailableError, LakeLockedError)
MOST_RETRIES = 4
FIRST_RETRY_SECONDS = 5.0


def asset_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey([table.layer, table.name])


def column_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """The columns as Dagster shows them, personal data marked."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, description=column.comment, tags={"pii": ""} if column.pii else {})
            for column in columns
        ]
    )


def asset_options(table: Table, *, checks: Sequence[Check] = (), rules: Sequence[Rule] = ()) -> dict[str, Any]:
    """The arguments of `@dg.asset` that follow from the table's declaration, its checks and its expectations."""
    metadata: dict[str, Any] = {
        "dagster/column_schema": column_schema(table.columns),
        "dagster/table_name": table.full_name,
        "dagster/storage_kind": "deltalake",
        "key": ", ".join(table.key),
    }
    return {
        "key": asset_key(table),
        "group_name": table.layer,
        "kinds": {"pyspark", "deltalake"},
        "owners": [table.owner],
        "description": table.description,
        "tags": {"contains_pii": "true"} if table.contains_pii else {},
        "metadata": metadata,
        "check_specs": [
            *(_rule_spec(table, rule) for rule in rules),
            *(_check_spec(table, check) for check in checks),
        ],
    }


def materialized(
    context: dg.AssetExecutionContext,
    lake: LakePaths,
    table: Table,
    *,
    since: int | None,
    metadata: Mapping[str, Any],
    checks: Sequence[Check] = (),
    rule_results: Sequence[RuleResult] = (),
    find_table: Callable[[str], Table],
) -> dg.MaterializeResult:
    """What a run did to the table: its figures, and its checks over the rows written after the version `since`."""
    outcomes = evaluate(lake, table, checks, since=since, find_table=find_table)
    record_results(lake, table, context.run_id, rule_results, outcomes)
    state = lake.state(table)
    return dg.MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "dagster/row_count": lake.rows(table),
            "dagster/uri": lake.path(table),
            "table_version": state.version if state else 0,
            "versions_written": (state.version if state else 0) - (since or 0),
            **metadata,
        },
        check_results=[
            *(_rule_result(table, result) for result in rule_results),
            *(check_result(table, outcome) for outcome in outcomes),
        ],
    )


def retried(body: Callable[..., Any]) -> Callable[..., Any]:
    """For an asset's function that takes `lakehouse`, and perhaps `kafka`: says in one line what its errors mean where
    the cause lies outside, and tries again later, with growing distance, what passes by itself: a broker that is down,
    a lake that is held."""

    @wraps(body)
    def wrapper(context: dg.AssetExecutionContext, **resources: Any) -> Any:
        try:
            return body(context, **resources)
        except Exception as error:
            brokers = resources["kafka"].bootstrap_servers if "kafka" in resources else ""
            known = explained(error, lake_root=resources["lakehouse"].root, brokers=brokers)
            cause = error if isinstance(error, PASSING_ERRORS) or known is None else known
            if isinstance(cause, PASSING_ERRORS):
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


def _check_spec(table: Table, check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(check.name, asset=asset_key(table), description=check.description, blocking=check.error)


def _rule_spec(table: Table, rule: Rule) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(rule.name, asset=asset_key(table), description=rule.description, blocking=True)


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
