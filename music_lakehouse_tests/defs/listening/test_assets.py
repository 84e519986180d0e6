"""The assets in process, on a lake of the test's own and a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions, defs
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.lakehouse.stream_figures import STREAMING
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import AUTH, Message
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import to_kafka
from music_lakehouse_tests.defs.run_results import figures, outcomes

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

AUTHS = [dg.AssetKey(["raw", AUTH]), dg.AssetKey(["bronze", AUTH])]


class Place:
    """A lake and topics of a test's own, and the pipeline on them."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance

    def execute(self, job: str, keys: list[dg.AssetKey] | None = None) -> dg.ExecuteInProcessResult:
        return (
            build_definitions(self.settings)
            .resolve_job_def(job)
            .execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)
        )


@pytest.fixture
def place(spark: SparkSession, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Place]:
    del spark  # The resource takes the session that is there.
    settings = Settings(
        lakehouse_root=str(tmp_path / "lake"),
        reference_root=tmp_path / "reference",
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=topic_prefix,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(settings, instance)


def test_a_run_says_what_it_changed_and_the_next_one_changes_nothing(place: Place, seed: int) -> None:
    messages = list(simulate(SimulatorConfig(users=8, events=120, seed=seed, beta=86_400, dirty=0.05)))
    sent = to_kafka(messages, place.settings)
    first = place.execute("streaming_pipeline")
    assert first.success
    said = figures(first)
    for event, count in sent.items():
        raw, bronze = said[f"raw/{event}"], said[f"bronze/{event}"]
        assert raw["rows_inserted"] == raw["dagster/row_count"] == sum(raw["offsets_to"].values()) == count
        assert sum(raw["offsets_from"].values()) == 0
        assert bronze["rows_read"] == bronze["rows_inserted"] + bronze["rows_quarantined"] == count
        assert raw["dagster/uri"] == f"{place.settings.lake_uri}/raw/{event}"
    quarantined = {event: said[f"bronze/{event}"]["rows_quarantined"] for event in sent}
    refused = said["bronze/quarantine"]
    assert refused["rows_inserted"] == refused["dagster/row_count"] == sum(quarantined.values())
    assert refused.get("rows_by_topic", {}) == {event: count for event, count in quarantined.items() if count}
    assert said["gold/artist_popularity"]["rows_read"] == said["gold/wide_streams"]["dagster/row_count"]
    assert said["gold/wide_streams"]["dagster/row_count"] == said["gold/fact_streams"]["rows_inserted"] > 0
    assert all(figure["duration_seconds"] >= 0 for table, figure in said.items() if table != "bronze/quarantine")

    lake = LakePaths(place.settings.lake_uri)
    state = lake.state(STREAMING)
    assert state is not None
    assert state.version == 1, "one commit of raw's queries, one of bronze's"
    taken = {row["query"]: row["rows"] for row in read_records(lake, STREAMING)}
    assert taken == {f"{layer}.{event}": count for layer in ("raw", "bronze") for event, count in sent.items()}
    for layer, event in ((layer, event) for layer in ("raw", "bronze") for event in sent):
        plotted = said[f"{layer}/{event}"]
        assert plotted["processed_rows_per_second"] > 0
        assert 0 < plotted["add_batch_seconds"] <= plotted["longest_batch_seconds"] <= plotted["duration_seconds"]
        assert plotted.get("lag") == (0 if layer == "raw" else None)

    checked = outcomes(first)
    selected = defs.resolve_job_def("streaming_pipeline").asset_layer.executable_asset_keys
    declared = {
        (check.asset_key.to_user_string(), check.name)
        for check in defs.resolve_asset_graph().asset_check_keys
        if check.asset_key in selected and not check.name.startswith("audit_")
    }
    assert set(checked) == declared, "each check that is declared was evaluated"
    assert {key for key, e in checked.items() if not e.passed and e.severity is dg.AssetCheckSeverity.ERROR} == set()
    assert not checked["bronze/reference_songs", "file_readable"].passed, "there is no songs.csv, which only warns"

    second = place.execute("streaming_pipeline")
    assert second.success
    again = figures(second)
    assert {table: figure["table_version"] for table, figure in again.items()} == {
        table: figure["table_version"] for table, figure in said.items()
    }
    assert all(figure.get("rows_inserted", 0) == 0 for figure in again.values())
    assert all(figure.get("rows_read", 0) == 0 for figure in again.values())
    assert lake.state(STREAMING) == state
    assert place.execute("audit").success


def test_an_asset_that_is_run_alone_is_audited_too_and_takes_a_backlog_in_commits_of_bounded_length(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("music_lakehouse.defs.listening.parsing.MOST_MESSAGES_A_PIECE", 10)
    batches = []
    for _ in range(2):
        to_kafka([Message(AUTH, b"no JSON", 0)] * 25, place.settings)
        # As from Dagster's UI: with all checks of the asset.
        result = place.execute("streaming_pipeline", AUTHS[:1])
        assert result.success
        assert outcomes(result)[f"raw/{AUTH}", "audit_no_offset_twice"].passed
        batches.append(figures(result)[f"raw/{AUTH}"]["batches"])
    assert batches == [1, 3]


@pytest.mark.slow
def test_a_topic_of_mostly_broken_messages_stops_at_bronze(place: Place) -> None:
    good = json.dumps({"ts": 1_700_000_000_000, "sessionId": 1, "itemInSession": 0, "level": "free", "success": True})
    broken = [Message(AUTH, b"no JSON", 0)] * 6
    to_kafka([*broken, *[Message(AUTH, good.encode(), 0)] * 4], place.settings)
    result = place.execute("streaming_pipeline", [*AUTHS, dg.AssetKey(["bronze", "quarantine"])])
    assert not result.success
    check = outcomes(result)[f"bronze/{AUTH}", "json_object"]
    assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert {name: check.metadata[name].value for name in ("rows", "failed", "share")} == {
        "rows": 10,
        "failed": 6,
        "share": 0.6,
    }
    assert not outcomes(result)[f"raw/{AUTH}", "looks_like_json"].passed
    assert set(figures(result)) == {f"raw/{AUTH}", f"bronze/{AUTH}"}, "nothing downstream ran"


@pytest.mark.slow
def test_a_broker_that_is_down_is_tried_again_and_then_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("music_lakehouse.defs.shell.FIRST_RETRY_SECONDS", 0.0)
    monkeypatch.setattr("music_lakehouse.defs.shell.MOST_RETRIES", 1)
    place.settings = place.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:9"})
    result = place.execute("streaming_pipeline", AUTHS[:1])
    assert not result.success
    retries = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY]
    assert len(retries) == 1
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "no Kafka broker answers at 127.0.0.1:9" in str(failure.step_failure_data.error)
