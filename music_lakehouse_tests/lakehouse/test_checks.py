from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from music_lakehouse.lakehouse.checks import Check, Outcome, evaluate
from music_lakehouse.lakehouse.common_checks import same_keys
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import connected
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse_tests.defs.listening.small_lakes import write

DAYS = Table(
    layer="gold",
    name="days",
    description="",
    columns=(Column("id", "BIGINT", ""), Column("date_part", "DATE", "")),
    key=("id",),
    partition_by=("date_part",),
)
OTHER = Table(layer="silver", name="other", description="", columns=(Column("id", "BIGINT", ""),), key=("id",))
SEES = Check(
    "sees",
    "",
    """
    SELECT (SELECT count(*) FROM touched) AS rows, (SELECT count(*) FROM current) AS failed,
           (SELECT count(*) FROM "silver.other") AS others,
           (SELECT rows FROM row_counts WHERE name = 'gold.days') AS counted
    """,
)


def find_table(name: str) -> Table:
    return {"gold.days": DAYS, "silver.other": OTHER}[name]


def row(number: int, day: int) -> dict[str, object]:
    return {"id": number, "date_part": date(2024, 1, day)}


def seen(lake: LakePaths, since: int | None) -> tuple[object, ...]:
    (found,) = evaluate(lake, DAYS, [SEES], since=since, find_table=find_table)
    return found.rows, found.failed, found.figures["others"], found.figures["counted"]


def test_a_check_sees_the_touched_rows_and_their_days_or_everything(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    assert seen(lake, None) == seen(lake, 3) == (0, 0, 0, 0)
    write(lake, DAYS, [row(1, 1), row(2, 2)])
    write(lake, DAYS, [row(3, 2)], mode="append")
    write(lake, OTHER, [{"id": 1}])
    assert seen(lake, None) == (3, 3, 1, 3)
    assert seen(lake, 0) == (1, 2, 1, 3)
    assert seen(lake, -1) == (3, 3, 1, 3)
    assert seen(lake, 1) == (0, 0, 1, 3)


def test_a_check_may_have_another_query_for_everything(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    write(lake, DAYS, [row(1, 1)])
    write(lake, DAYS, [row(2, 2)], mode="append")
    write(lake, OTHER, [{"id": 1}])
    check = Check(
        "compared",
        "",
        "SELECT count(*) AS rows, 0 AS failed FROM touched",
        whole=same_keys("id", expected='SELECT id FROM "silver.other"', found="SELECT id FROM current"),
    )
    run, audit = (evaluate(lake, DAYS, [check], since=since, find_table=find_table)[0] for since in (0, None))
    assert (run.rows, run.failed, run.check.tables) == (1, 0, set())
    assert (audit.rows, audit.failed, audit.check.tables) == (1, 1, {"silver.other"})
    assert audit.figures == {"missing": 0, "unexpected": 1}


@pytest.mark.parametrize(
    ("expected", "found", "figures"),
    [
        pytest.param("1, 2", "2, 1", (2, 0, 0, 0), id="the same"),
        pytest.param("1, 2", "1, 1", (2, 2, 1, 1), id="one twice, another not"),
        pytest.param("1, 2, 2", "1, 2", (3, 1, 1, 0), id="as often"),
        pytest.param("", "1", (0, 1, 0, 1), id="none are expected"),
        pytest.param("", "", (0, 0, 0, 0), id="none at all"),
    ],
)
def test_keys_are_compared_as_often_as_they_are_there(
    expected: str, found: str, figures: tuple[int, int, int, int]
) -> None:
    listed = (f"SELECT unnest([{keys}]::INT[]) AS id" for keys in (expected, found))
    with connected() as connection:
        assert connection.execute(same_keys("id", *listed)).fetchone() == figures


def test_what_is_given_to_several_checks_is_made_once(tmp_path: Path) -> None:
    given = ("drawn", 'SELECT uuid() AS drawn, count(*) AS others FROM "silver.other"')
    first, second = (
        Check(name, "", "SELECT others AS rows, 0 AS failed, drawn FROM drawn", given=(given,)) for name in ("a", "b")
    )
    lake = LakePaths(str(tmp_path))
    write(lake, OTHER, [{"id": 1}])
    one, other = evaluate(lake, DAYS, [first, second], since=None, find_table=find_table)
    assert (one.rows, one.figures) == (other.rows, other.figures)
    assert one.rows == 1


@pytest.mark.parametrize(
    ("threshold", "rows", "failed", "passed"),
    [(0.0, 9, 0, True), (0.0, 9, 1, False), (0.1, 10, 1, True), (0.1, 9, 1, False)],
)
def test_a_check_passes_up_to_its_threshold(threshold: float, rows: int, failed: int, passed: bool) -> None:
    assert Outcome(Check("", "", "", threshold), rows, failed).passed == passed


def test_a_check_that_cannot_be_evaluated_names_itself_and_its_table(tmp_path: Path) -> None:
    wrong = Check("wrong", "", "SELECT count(*) AS rows, sum(nothing) AS failed FROM touched")
    with pytest.raises(ValueError, match=r"the check wrong of gold.days cannot be evaluated: .*nothing"):
        evaluate(LakePaths(str(tmp_path)), DAYS, [wrong], since=None, find_table=find_table)
    assert evaluate(LakePaths(str(tmp_path)), DAYS, [], since=None, find_table=find_table) == []
