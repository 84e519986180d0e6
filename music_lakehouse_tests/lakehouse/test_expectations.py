from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.checks import Check, Outcome
from music_lakehouse.lakehouse.expectations import (
    EXPECTATIONS,
    FAILED_RULES,
    Action,
    ExpectationFailedError,
    Rule,
    RuleResult,
    count_failures,
    forget_old_results,
    mark,
    record_results,
    results,
)
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import KEPT_DAYS, append_records, read_records
from music_lakehouse_tests.lakehouse.items import ITEMS

PRICED = Rule("priced", "price > 0", Action.DROP, "it has a price", threshold=0.25, limit=0.5)
NAMED = Rule("named", "name IS NOT NULL", Action.WARN, "it has a name", threshold=0.5)
SANE = Rule("sane", "price < 100", Action.FAIL, "the price is sane")


@pytest.mark.spark
def test_one_pass_marks_and_counts_and_null_counts_as_broken(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1.0, "a"), (-1.0, None), (None, "c"), (500.0, None)], "price DOUBLE, name STRING")
    rules = [PRICED, NAMED, SANE]
    marked = mark(rows, rules)
    assert [row[FAILED_RULES] for row in marked.collect()] == [
        [],
        ["priced", "named"],
        ["priced", "sane"],
        ["named", "sane"],
    ]
    counted = marked.agg(*count_failures(rules)).first()
    assert counted is not None
    assert counted.asDict() == {"rows": 4, "priced": 2, "named": 2, "sane": 2}
    with pytest.raises(ExpectationFailedError, match=r"2 of 4 rows break the rule sane .* nothing was written"):
        results(rules, counted.asDict())
    assert [(r.rule.name, r.rows, r.failed) for r in results([PRICED, NAMED], counted.asDict())] == [
        ("priced", 4, 2),
        ("named", 4, 2),
    ]


@pytest.mark.parametrize(
    ("rule", "rows", "failed", "passed", "intolerable"),
    [
        (PRICED, 4, 1, True, False),
        (PRICED, 4, 2, False, False),
        (PRICED, 1, 1, False, False),
        (PRICED, 4, 4, False, False),
        (PRICED, 10, 5, False, False),
        (PRICED, 9, 5, False, True),
        (PRICED, 0, 0, True, False),
        (NAMED, 4, 2, True, False),
        (NAMED, 4, 4, False, False),
        (SANE, 4, 0, True, True),
        (SANE, 4, 1, False, True),
    ],
)
def test_a_rule_warns_above_its_threshold_and_is_an_error_above_its_limit(
    rule: Rule, rows: int, failed: int, passed: bool, intolerable: bool
) -> None:
    result = RuleResult(rule, rows, failed)
    assert (result.passed, result.intolerable) == (passed, intolerable)


def test_how_rules_and_checks_fared_is_kept(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    check = Check("key_unique", "", "", error=False)
    record_results(lake, ITEMS, "run-1", [RuleResult(PRICED, 4, 1)], [Outcome(check, 9, 2)])
    record_results(lake, ITEMS, "run-2", [], [])
    kept = {row["rule"]: row for row in read_records(lake, EXPECTATIONS)}
    columns = ("table", "action", "rows", "failed", "run_id")
    assert {rule: tuple(row[column] for column in columns) for rule, row in kept.items()} == {
        "priced": ("silver.items", "drop", 4, 1, "run-1"),
        "key_unique": ("silver.items", "warn", 9, 2, "run-1"),
    }


def test_results_are_kept_for_ninety_days_and_the_last_of_a_table_that_nobody_looks_at_for_ever(tmp_path: Path) -> None:
    lake, now = LakePaths(str(tmp_path)), datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
    old, recent = now - timedelta(days=KEPT_DAYS, seconds=1), now - timedelta(days=KEPT_DAYS)

    def evaluated(table: str, run: str, moment: datetime) -> dict[str, object]:
        counts = {"rule": "priced", "action": "drop", "rows": 4, "failed": 1}
        return {"table": table, "run_id": run, "evaluated_at": moment, **counts}

    assert not forget_old_results(lake, now)
    append_records(lake, EXPECTATIONS, [evaluated("silver.it's", "1", old), evaluated("silver.left", "1", old)])
    assert not forget_old_results(lake, now)
    append_records(lake, EXPECTATIONS, [evaluated("silver.it's", "2", recent)])

    assert forget_old_results(lake, now)

    kept = {(row["table"], row["run_id"]) for row in read_records(lake, EXPECTATIONS)}
    assert kept == {("silver.it's", "2"), ("silver.left", "1")}
    state = lake.state(EXPECTATIONS)
    assert not forget_old_results(lake, now)
    assert lake.state(EXPECTATIONS) == state
