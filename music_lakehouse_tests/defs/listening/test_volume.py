"""Messages a run against the runs before it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from deltalake import DeltaTable

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse import records
from music_lakehouse.lakehouse.checks import Outcome, evaluate
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse_tests.defs.listening.raw_rows import write_raw

TABLE = RAW["listen_events"]
(USUAL,) = (check for check in CHECKS[TABLE] if check.name == "volume_usual")


def evaluated(
    root: Path,
    rows: int,
    earlier: list[int],
    *,
    table: str = TABLE.full_name,
    every: float = 60,
    after: float | None = None,
) -> Outcome:
    """The check's outcome for a run of so many rows, after runs of `earlier` rows, the oldest first, each so many
    seconds (`every`) after the one before; this one `after` so many others."""
    lake = LakePaths(str(root))
    last = datetime.now(timezone.utc) - timedelta(seconds=every if after is None else after)
    run = {"table": table, "rule": USUAL.name, "action": "warn", "failed": 0, "run_id": "r"}
    times = [last - timedelta(seconds=every * n) for n in reversed(range(len(earlier)))]
    history = [{**run, "rows": count, "evaluated_at": at} for count, at in zip(earlier, times, strict=True)]
    append_records(lake, EXPECTATIONS, history)
    write_raw(lake, "listen_events", "topic", [])
    if rows:
        write_raw(lake, "listen_events", "topic", [("id", 0, offset) for offset in range(rows)])
    (outcome,) = evaluate(lake, TABLE, [USUAL], since=0, find_table=find_table)
    return outcome


@pytest.mark.parametrize(
    ("rows", "earlier", "passes"),
    [
        pytest.param(1, [], True, id="the first run"),
        pytest.param(1, [500, 500], True, id="two runs say nothing yet"),
        pytest.param(1, [500, 0, 0, 500], True, id="runs without messages don't count"),
        pytest.param(50, [500, 500, 500], True, id="a tenth"),
        pytest.param(49, [500, 500, 500], False, id="less than a tenth"),
        pytest.param(100, [10, 10, 10], True, id="ten times"),
        pytest.param(101, [10, 10, 10], False, id="more than ten times"),
        pytest.param(0, [500, 500, 500], True, id="no messages at all"),
        pytest.param(10, [9000, 10, 10], True, id="the median, not the mean"),
        pytest.param(10, [9000] * 20 + [10] * 10, True, id="the last ten runs"),
    ],
)
def test_a_run_is_usual_between_a_tenth_and_ten_times_the_median(
    tmp_path: Path, rows: int, earlier: list[int], passes: bool
) -> None:
    outcome = evaluated(tmp_path, rows, earlier)
    assert (outcome.passed, outcome.rows) == (passes, rows)


@pytest.mark.parametrize(
    ("rows", "after", "passes"),
    [
        pytest.param(900, 600, True, id="what gathered in ten minutes without a run"),
        pytest.param(900, 30, False, id="as many in half a minute"),
        pytest.param(3, 2, True, id="a micro-batch of two seconds"),
        pytest.param(3, 60, False, id="as few in a minute"),
        pytest.param(60, 86_400, True, id="as many as usual, after a day"),
    ],
)
def test_what_comes_at_the_usual_rate_is_usual_whatever_the_time_between_runs(
    tmp_path: Path, rows: int, after: float, passes: bool
) -> None:
    assert evaluated(tmp_path, rows, [60] * 10, after=after).passed == passes


def test_what_was_usual_is_said(tmp_path: Path) -> None:
    assert evaluated(tmp_path, 1, [10, 30, 20]).figures == {"usual": 20.0, "usual_a_second": 0.417, "runs": 3}


def test_each_table_has_its_own_usual_volume_and_a_warning_stops_nothing(tmp_path: Path) -> None:
    assert evaluated(tmp_path, 1, [500, 500, 500], table="raw.auth_events").passed
    assert all(any(c.name == USUAL.name and not c.error for c in CHECKS[table]) for table in RAW.values())


@pytest.mark.thorough
def test_the_history_of_many_runs_lies_in_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "VERSIONS_A_FILE", 5)
    for _ in range(12):
        evaluated(tmp_path, 0, [10])
    history = DeltaTable(LakePaths(str(tmp_path)).path(EXPECTATIONS))
    assert (len(history.file_uris()), history.count()) == (3, 12)
