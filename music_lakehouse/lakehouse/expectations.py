"""Rules that rows are expected to keep: evaluated in one pass, counted, and their history kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import reduce
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse.checks import Outcome
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.records import KEPT_DAYS, append_records, remove_records
from music_lakehouse.lakehouse.tables import Column, Table

FAILED_RULES = "_failed_rules"
FEWEST_INTOLERABLE = 5
JUDGED = "judged"
"""The name by which the marked rows of a change are shared."""


class Action(Enum):
    """What becomes of a row that breaks a rule: it is kept, it goes to quarantine, or the step stops before it
    commits.
    """

    WARN = "warn"
    DROP = "drop"
    FAIL = "fail"


@dataclass(frozen=True)
class Rule:
    """A rule: an SQL predicate that each row should fulfil, in words that Spark and DuckDB both understand; null counts
    as broken.

    `threshold` is the share of rows (0 to 1) that may break it before its check warns, `limit` the share above which
    the check is an error, which stops what is downstream: of at least `FEWEST_INTOLERABLE` rows that break it, as one
    bad row that comes alone is all that came.
    """

    name: str
    predicate: str
    action: Action
    description: str
    threshold: float = 0.0
    limit: float = 1.0


# Of what other systems send, so much is refused on any day.
_USUAL_SHARE = 0.05


def needed(name: str, predicate: str, description: str) -> Rule:
    """A rule of landed rows: one that breaks it goes to quarantine, and more than are usual warn."""
    return Rule(name, predicate, Action.DROP, description, threshold=_USUAL_SHARE)


class ExpectationFailedError(RuntimeError):
    """Rows broke a rule whose action is `fail`."""


@dataclass(frozen=True)
class RuleResult:
    """How one rule fared over the rows of one run."""

    rule: Rule
    rows: int
    failed: int

    @property
    def share(self) -> float:
        return self.failed / self.rows if self.rows else 0.0

    @property
    def passed(self) -> bool:
        return self.share <= self.rule.threshold

    @property
    def intolerable(self) -> bool:
        too_many = self.share > self.rule.limit and self.failed >= FEWEST_INTOLERABLE
        return self.rule.action is Action.FAIL or too_many


def failed_rules(rules: Sequence[Rule]) -> SparkColumn:
    """The names of the rules that a row breaks, as an array of strings, in the order of the rules."""
    kept = [F.coalesce(F.expr(rule.predicate), F.lit(False)) for rule in rules]
    names = [F.when(~k, F.lit(rule.name)) for k, rule in zip(kept, rules, strict=True)]
    # Nearly all rows keep all rules, and building an array for each would cost more than the rules do.
    all_kept = reduce(SparkColumn.__and__, kept, F.lit(True))
    # array_compact would do, but no code is generated for what takes a lambda, nor for anything beside it.
    broken = F.array_except(F.array(*names), F.array(F.lit(None).cast("string")))
    return F.when(all_kept, F.array().cast("array<string>")).otherwise(broken)


def mark(rows: DataFrame, rules: Sequence[Rule]) -> DataFrame:
    """The rows with `_failed_rules`, the names of the rules that each breaks."""
    return rows.withColumn(FAILED_RULES, failed_rules(rules))


def count_failures(rules: Sequence[Rule]) -> list[SparkColumn]:
    """Aggregates over marked rows: `rows`, and a count a rule under its name."""
    counts = [F.count_if(F.array_contains(FAILED_RULES, rule.name)).alias(rule.name) for rule in rules]
    return [F.count("*").alias("rows"), *counts]


def results(rules: Sequence[Rule], counted: Mapping[str, Any]) -> list[RuleResult]:
    """The rules' results from the counts of `count_failures`; what isn't counted is 0.

    Raises ExpectationFailedError, naming rule and count, where a rule with the action `fail` was broken.
    """
    found = [RuleResult(rule, counted.get("rows") or 0, counted.get(rule.name) or 0) for rule in rules]
    for result in found:
        if result.rule.action is Action.FAIL and not result.passed:
            raise ExpectationFailedError(
                f"{result.failed} of {result.rows} rows break the rule {result.rule.name} ({result.rule.description}): "
                "nothing was written; correct the source or the rule, then run again"
            )
    return found


EXPECTATIONS = Table(
    layer="metrics",
    name="expectations",
    description="One row a (run, table, rule): how many rows the run looked at and how many broke the rule. Rows that "
    "are older than 90 days go with `table_maintenance`, but for tables that no run has looked at since.",
    columns=(
        Column("table", "STRING", "the table whose rows were looked at"),
        Column("rule", "STRING", "the rule's name"),
        Column("action", "STRING", "of a rule: warn, drop or fail; of a check: warn or error"),
        Column("rows", "BIGINT", "rows that the run looked at"),
        Column("failed", "BIGINT", "rows that broke the rule"),
        Column("run_id", "STRING", "the Dagster run"),
        Column("evaluated_at", "TIMESTAMP", "when, UTC"),
    ),
    key=("run_id", "table", "rule"),
    # A check that goes by its table's history reads nothing of others.
    partition_by=("table",),
)


def record_results(
    lake: LakePaths, table: Table, run_id: str, rule_results: Sequence[RuleResult], outcomes: Sequence[Outcome]
) -> None:
    """Keep how the rules and the checks of a table fared in `metrics.expectations`."""
    now = datetime.now(timezone.utc)
    fared = [(r.rule.name, r.rule.action.value, r.rows, r.failed) for r in rule_results]
    fared += [(o.check.name, "error" if o.check.error else "warn", o.rows, o.failed) for o in outcomes]
    append_records(
        lake,
        EXPECTATIONS,
        [
            {
                "table": table.full_name,
                "rule": rule,
                "action": action,
                "rows": rows,
                "failed": failed,
                "run_id": run_id,
                "evaluated_at": now,
            }
            for rule, action, rows, failed in fared
        ],
    )


def forget_old_results(lake: LakePaths, now: datetime) -> bool:
    """Remove the rows that are older than `KEPT_DAYS` before now, in one commit; say whether there were any.

    Those of tables that no run has looked at since stay: how their checks fared last is still to be seen.
    """
    before = now - timedelta(days=KEPT_DAYS)
    looked_at = """
        SELECT "table" FROM {results} GROUP BY "table"
        HAVING min(evaluated_at) < $before AND max(evaluated_at) >= $before ORDER BY "table"
    """
    tables = query(lake, looked_at, parameters={"before": before}, results=EXPECTATIONS)["table"].to_pylist()
    return bool(tables) and remove_records(lake, EXPECTATIONS, "evaluated_at", before=before, of=("table", tables))
