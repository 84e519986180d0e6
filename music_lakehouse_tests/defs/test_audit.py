"""The audit beside a run that writes: raw first, bronze after it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from threading import Event

import dagster as dg
import pytest

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs import audit
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLock, current_holder
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write, write_all
from music_lakehouse_tests.defs.run_results import outcomes
from music_lakehouse_tests.oracle.values import Tables

pytestmark = pytest.mark.thorough

BRONZE = TABLES["bronze.listen_events"]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return sound_tables(tmp_path)


@pytest.fixture
def lake(tmp_path: Path, tables: Tables) -> LakePaths:
    lake = LakePaths(str(tmp_path / "lake"))
    write_all(lake, tables)
    return lake


def audited(lake: LakePaths) -> dg.ExecuteInProcessResult:
    job = build_definitions(Settings(lakehouse_root=lake.root)).resolve_job_def("audit")
    return job.execute_in_process(raise_on_error=False)


def test_it_waits_for_the_run_that_holds_the_lake(lake: LakePaths, tables: Tables) -> None:
    with ThreadPoolExecutor(1) as pool:
        with LakeLock(lake.root).held("a run"):
            write(lake, BRONZE, [])
            done = pool.submit(audited, lake)
            with pytest.raises(FutureTimeout):
                done.result(timeout=5)
            write(lake, BRONZE, tables[BRONZE.full_name])
        assert done.result().success
    assert current_holder(lake.root) is None


def test_what_the_next_run_writes_meanwhile_is_not_looked_at(
    lake: LakePaths, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Event()

    def evaluate_late(*given: object, **more: object) -> object:
        if not begun.is_set():
            begun.set()
            with LakeLock(lake.root).held("the next run"):
                write(lake, BRONZE, tables[BRONZE.full_name][:1])
        return evaluate(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(audit, "evaluate", evaluate_late)
    assert audited(lake).success
    monkeypatch.undo()
    assert begun.is_set()
    assert not audited(lake).success, "the law is broken now"


def test_a_warning_of_everything_is_told_and_breaks_nothing(lake: LakePaths, tables: Tables) -> None:
    behind_a_gap = {**tables["raw.page_view_events"][-1], "kafka_offset": 99}
    write(lake, TABLES["raw.page_view_events"], [behind_a_gap], mode="append")
    refused = {**behind_a_gap, "topic": "page_view_events", "reasons": ["json_object"]}
    write(lake, TABLES["bronze.quarantine"], [refused], mode="append")
    result = audited(lake)
    assert result.success
    [warned] = [name for name, check in outcomes(result).items() if not check.passed]
    assert warned == ("raw/page_view_events", "audit_offsets_continuous")


def test_it_names_who_holds_the_lake_for_too_long(lake: LakePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LOCK_WAIT_SECONDS", 0.0)
    with LakeLock(lake.root).held("a full load"):
        failed = audited(lake)
    assert not failed.success
    (step,) = failed.filter_events(lambda event: event.event_type_value == "STEP_FAILURE")
    assert "the lake is held by run a full load" in str(step.event_specific_data)
