"""Which tables are to be kept fresh, and that old events only warn."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.listening.assets import ASSETS
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.defs.listening.tables import BRONZE
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.lakehouse.lake import LakePaths

LISTENS = BRONZE["listen_events"]
(RECENT,) = (check for check in CHECKS[LISTENS] if check.name == "newest_event_is_recent")


def test_raw_and_gold_are_kept_fresh() -> None:
    specs = [spec for a in ASSETS if isinstance(a, dg.AssetsDefinition) for spec in a.specs]
    layers = {spec.key.path[0]: spec.freshness_policy for spec in specs}
    assert {layer for layer, policy in layers.items() if policy} == {"raw", "gold"}
    policy = layers["raw"]
    assert isinstance(policy, dg.FreshnessPolicy)
    assert policy == dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=6), fail_window=timedelta(days=1))


@pytest.mark.parametrize(
    ("ages", "passes"),
    [
        pytest.param([timedelta(hours=23)], True, id="today's"),
        pytest.param([timedelta(days=400), timedelta(hours=1)], True, id="the newest counts"),
        pytest.param([timedelta(hours=25)], False, id="yesterday's"),
        pytest.param([], True, id="an empty table"),
    ],
)
def test_events_older_than_a_day_are_a_warning(tmp_path: Path, ages: list[timedelta], passes: bool) -> None:
    lake = LakePaths(str(tmp_path))
    add_events(lake)
    add_events(lake, *ages)
    assert is_recent(lake, since=0) == passes


def test_a_table_that_nothing_comes_to_grows_old(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    add_events(lake, timedelta(days=30))
    assert not is_recent(lake, since=0), "the run brought nothing"
    add_events(lake, timedelta(hours=1))
    add_events(lake, timedelta(days=400))
    assert is_recent(lake, since=1), "the run brought late events"
    assert is_recent(lake, since=2)


def add_events(lake: LakePaths, *ages: timedelta) -> None:
    """In one commit."""
    times = pa.array([datetime.now(timezone.utc) - age for age in ages], pa.timestamp("us", "UTC"))
    events = pa.table({"timestamp": times, "kafka_offset": pa.array(range(len(ages)), pa.int64())})
    write_deltalake(lake.path(LISTENS), events, mode="append")


def is_recent(lake: LakePaths, since: int) -> bool:
    (outcome,) = evaluate(lake, LISTENS, [RECENT], since=since, find_table=find_table)
    return outcome.passed


def test_old_events_stop_nothing() -> None:
    specs = [spec for a in ASSETS if isinstance(a, dg.AssetsDefinition) for spec in a.check_specs]
    recent = [spec for spec in specs if spec.name == RECENT.name]
    assert {spec.asset_key.to_user_string() for spec in recent} == {f"bronze/{event}" for event in BRONZE}
    assert not any(spec.blocking for spec in recent)
