from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deltalake.exceptions import DeltaError

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs import shell
from music_lakehouse.defs.failures import step_errors
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.tables import QUARANTINE
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write

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
