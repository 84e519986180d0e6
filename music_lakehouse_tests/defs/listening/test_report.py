"""The report as an asset: what a run tells of it, and when one is due."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from music_lakehouse.dashboard import report
from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs.listening import report as asset
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write_all

pytestmark = pytest.mark.thorough


@pytest.fixture
def lakehouse(tmp_path: Path) -> LakehouseResource:
    """All tables of a few messages."""
    found = LakehouseResource(spark=SparkResource(), root=str(tmp_path / "lake"))
    write_all(found.paths, sound_tables(tmp_path))
    return found


def run(lakehouse: LakehouseResource) -> dg.ExecuteInProcessResult:
    job = build_definitions(Settings(lakehouse_root=lakehouse.root)).resolve_job_def("listening_report")
    return job.execute_in_process(raise_on_error=False)


def told(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    [materialization] = result.asset_materializations_for_node("gold__listening_report")
    return {name: value.value for name, value in materialization.metadata.items()}


def due(lakehouse: LakehouseResource) -> bool:
    with dg.build_schedule_context(resources={"lakehouse": lakehouse}) as context:
        return isinstance(asset.hourly_listening_report(context), dg.RunRequest)


def test_a_run_writes_the_page_and_tells_where_it_is_and_what_it_shows(lakehouse: LakehouseResource) -> None:
    shown = told(run(lakehouse))
    file = Path(lakehouse.root) / report.PATH

    assert (shown["written"], shown["streams"], shown["page"]) == (True, 5, str(file))
    assert "| Tune | Band | 4 |" in str(shown["preview"])
    assert "<td>Tune</td><td>Band</td><td>4</td>" in file.read_text()


def test_where_nothing_changed_it_is_not_written_anew(lakehouse: LakehouseResource) -> None:
    assert due(lakehouse)
    run(lakehouse)
    file = Path(lakehouse.root) / report.PATH
    before = file.stat()
    assert not due(lakehouse)
    again = told(run(lakehouse))

    assert (again["written"], again["streams"]) == (False, 5)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_without_the_packages_that_draw_it_says_what_installs_them(
    lakehouse: LakehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asset, "can_draw", lambda: False)
    result = run(lakehouse)
    [failure] = result.filter_events(lambda event: event.event_type_value == "STEP_FAILURE")

    assert "music-lakehouse[dashboard]" in str(failure.step_failure_data.error)
    assert not due(lakehouse)
