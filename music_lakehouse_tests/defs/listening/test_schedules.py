"""What runs by the clock: the reference files where they changed, and the audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from music_lakehouse.definitions import defs
from music_lakehouse.defs.audit import daily_audit
from music_lakehouse.defs.listening.schedules import reference_files_schedule
from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.files import file_digest
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import record_source_position
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings

pytestmark = pytest.mark.thorough

FILES = {"songs.csv": REFERENCE_SONGS, "state_codes.csv": REFERENCE_STATES}


class Place:
    """A lake and a directory of reference files."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.files = root / "reference"
        self.files.mkdir()
        self.settings = Settings(lakehouse_root=str(root / "lake"), reference_root=self.files)

    def load(self) -> None:
        """As a run does: remember the files that were loaded."""
        for name, table in FILES.items():
            position = TableState(file_digest(self.files / name) or "missing", 0)
            record_source_position(LakePaths(self.settings.lake_uri), table.full_name, name, position)

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(self.instance, resources=build_resources(self.settings)) as context:
            result = reference_files_schedule(context)
        assert isinstance(result, dg.RunRequest | dg.SkipReason)
        return result


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Place(tmp_path, instance)


def selected(place: Place) -> set[str]:
    request = place.tick()
    assert isinstance(request, dg.RunRequest), request
    return {key.to_user_string() for key in request.asset_selection or ()}


def test_without_files_nothing_runs(place: Place) -> None:
    assert isinstance(place.tick(), dg.SkipReason)


def test_new_songs_run_with_what_is_made_of_them(place: Place) -> None:
    (place.files / "songs.csv").write_text("song_id,title\n1,Tune\n")
    tables = selected(place)
    assert {"bronze/reference_songs", "silver/dim_songs", "silver/dim_artists", "gold/wide_streams"} <= tables
    assert tables.isdisjoint({"raw/listen_events", "bronze/listen_events", "silver/dim_users", "silver/dim_location"})


def test_the_run_is_a_part_of_the_pipeline_without_the_audit(place: Place) -> None:
    (place.files / "songs.csv").write_text("song_id,title\n1,Tune\n")
    request = place.tick()
    assert isinstance(request, dg.RunRequest)
    part = defs.resolve_job_def("streaming_pipeline").get_subset(
        asset_selection=set(request.asset_selection or ()), asset_check_selection=set(request.asset_check_keys or ())
    )
    assert dg.AssetKey(["silver", "dim_songs"]) in part.asset_layer.selected_asset_keys
    assert part.asset_layer.selected_asset_keys == set(request.asset_selection or ())
    assert {node.name for node in part.nodes} == {
        "references",
        "dimensions",
        "facts",
        "wide",
        "summaries",
    }


def test_files_that_were_loaded_don_t_run_again_until_they_change(place: Place) -> None:
    (place.files / "state_codes.csv").write_text("stateCode,stateName\nNY,New York\n")
    assert "silver/dim_location" in selected(place)
    place.load()
    assert isinstance(place.tick(), dg.SkipReason)
    (place.files / "state_codes.csv").write_text("stateCode,stateName\nNY,The Empire State\n")
    assert "bronze/reference_states" in selected(place)
    place.load()
    (place.files / "state_codes.csv").unlink()
    assert "silver/dim_location" in selected(place), "a file that was taken away is a change too"


def test_a_run_of_the_pipeline_in_progress_is_waited_for(place: Place) -> None:
    (place.files / "songs.csv").write_text("song_id,title\n1,Tune\n")
    place.instance.add_run(dg.DagsterRun(job_name="streaming_pipeline", status=dg.DagsterRunStatus.STARTED))
    skipped = place.tick()
    assert isinstance(skipped, dg.SkipReason)
    assert "in progress" in (skipped.skip_message or "")


def test_the_audit_runs_at_four_in_the_morning_utc_from_the_start() -> None:
    assert (daily_audit.job_name, daily_audit.cron_schedule, daily_audit.execution_timezone) == (
        "audit",
        "0 4 * * *",
        "UTC",
    )
    assert daily_audit.default_status is dg.DefaultScheduleStatus.RUNNING
