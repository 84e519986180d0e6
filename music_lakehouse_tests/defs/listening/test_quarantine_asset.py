from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deltalake.exceptions import DeltaError

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs import shell
from music_lakehouse.defs.failures import step_errors
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.quarantine import refused_since
from music_lakehouse.defs.listening.tables import QUARANTINE
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write
from music_lakehouse_tests.defs.run_results import figures, outcomes

pytestmark = pytest.mark.thorough


def test_a_disk_that_is_full_is_told_in_words_by_quarantine_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise DeltaError("Generic LocalFileSystem error: Unable to copy: No space left on device (os error 28)")

    lake = LakePaths(str(tmp_path / "lake"))
    rows = sound_tables(tmp_path)[QUARANTINE.full_name]
    write(lake, TABLES[QUARANTINE.full_name], rows)
    monkeypatch.setattr(shell, "record_results", full)
    job = build_definitions(Settings(lakehouse_root=lake.root)).resolve_job_def("streaming_pipeline")

    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance, asset_selection=[shell.asset_key(QUARANTINE)], raise_on_error=False
        )
        [error] = step_errors(instance, result.run_id)

    assert error.class_name == "StorageError"
    assert "is full: make room, then run again" in error.text


def refused(topic: str, *reasons: str) -> dict[str, Any]:
    return {"topic": topic, "reasons": list(reasons)}


def test_a_run_tells_what_it_refused_by_topic_and_by_reason(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    assert refused_since(lake, -1)["rows_inserted"] == 0, "there is no quarantine yet"
    write(lake, QUARANTINE, [refused("auth_events", "json_object")])
    write(lake, QUARANTINE, [refused("auth_events", "ts_present", "level_known")], mode="append")
    write(lake, QUARANTINE, [refused("listen_events", "ts_present")], mode="append")

    assert refused_since(lake, 0) == {
        "rows_inserted": 2,
        "rows_updated": 0,
        "rows_deleted": 0,
        "rows_by_topic": {"auth_events": 1, "listen_events": 1},
        "rows_by_reason": {"ts_present": 2, "level_known": 1},
    }
    assert refused_since(lake, -1)["rows_inserted"] == 3
    assert refused_since(lake, 2) == {"rows_inserted": 0, "rows_updated": 0, "rows_deleted": 0}


def test_what_earlier_runs_refused_is_no_part_of_a_runs_figures(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    write(lake, QUARANTINE, [refused("auth_events", "json_object")])
    job = build_definitions(Settings(lakehouse_root=lake.root)).resolve_job_def("streaming_pipeline")

    result = job.execute_in_process(asset_selection=[shell.asset_key(QUARANTINE)])

    said = figures(result)["bronze/quarantine"]
    assert (said["dagster/row_count"], said["rows_inserted"], said["versions_written"]) == (1, 0, 0)
    assert outcomes(result)["bronze/quarantine", "has_a_reason"].metadata["rows"].value == 0


def test_what_was_committed_since_the_run_began_is_its_own(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    for _ in range(3):
        write(lake, QUARANTINE, [refused("auth_events")], mode="append")
    began = datetime.now(timezone.utc)
    for _ in range(17):
        write(lake, QUARANTINE, [refused("auth_events")], mode="append")
    found = lake.open(QUARANTINE)
    assert found is not None

    assert delta.version_before(found, began) == 2
    assert delta.version_before(found, datetime.now(timezone.utc)) == 19
    assert delta.version_before(found, datetime(2020, 1, 1, tzinfo=timezone.utc)) == -1
