from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse.lakehouse.broken_laws import BROKEN_LAWS, evaluate_laws
from music_lakehouse.lakehouse.checks import Check, Outcome
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse_tests.defs.listening.small_lakes import write

COUNTED = Table(
    layer="gold", name="counted", description="", columns=(Column("id", "BIGINT", "which is positive"),), key=("id",)
)
POSITIVE = Check("positive", "", "SELECT count(*) AS rows, count_if(id < 0) AS failed FROM touched")
FEW = Check("few", "", "SELECT count(*) AS rows, count(*) AS failed FROM touched", error=False)


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    """A lake with the table, empty: its version 0."""
    lake = LakePaths(str(tmp_path))
    write(lake, COUNTED, [])
    return lake


def run(lake: LakePaths, *ids: int, name: str = "a run", checks: tuple[Check, ...] = (POSITIVE,)) -> Outcome:
    """A run that appends the rows, or writes nothing where there are none, and looks at what it wrote."""
    before = lake.state(COUNTED)
    assert before is not None
    if ids:
        write(lake, COUNTED, [{"id": number} for number in ids], mode="append")
    (outcome,) = evaluate_laws(
        lake, COUNTED, checks, since=before.version, run_id=name, find_table=lambda name: COUNTED
    )
    return outcome


def test_a_law_that_is_broken_is_not_passed_by_the_runs_after_it(lake: LakePaths) -> None:
    assert run(lake, 1, 2).passed
    assert not run(lake, 3, -4, name="the first").passed
    assert not run(lake).passed, "that writes nothing"
    later = run(lake, 5, 6, name="another")
    assert (later.rows, later.failed) == (6, 1), "the whole table"
    (known,) = read_records(lake, BROKEN_LAWS)
    assert (known["table"], known["run_id"]) == ("gold.counted", "the first")


def test_once_it_holds_again_a_run_looks_at_what_it_wrote_itself(lake: LakePaths) -> None:
    run(lake, 1, -2)
    found = lake.open(COUNTED)
    assert found is not None
    found.update({"id": "2"}, predicate="id = -2")

    assert run(lake, 3).passed
    assert read_records(lake, BROKEN_LAWS) == []
    assert run(lake, 4, 5).rows == 2


def test_what_only_warns_is_not_remembered_and_looks_at_what_a_run_wrote(lake: LakePaths) -> None:
    assert not run(lake, 1, checks=(FEW,)).passed
    assert read_records(lake, BROKEN_LAWS) == []
    run(lake, 1, -2)
    assert run(lake, 3, checks=(FEW,)).rows == 1
