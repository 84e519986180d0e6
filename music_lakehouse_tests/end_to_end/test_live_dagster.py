"""Dagster's real webserver and daemon, seen through GraphQL; and Dagster's commands."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import current_holder
from music_lakehouse.settings import TOPICS, Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import AUTH, Message
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import to_kafka
from music_lakehouse_tests.defs.webhook import Webhook
from music_lakehouse_tests.end_to_end.live import LiveDagster, environment, run_command

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.end_to_end, pytest.mark.timeout(1200)]


def new_settings(root: Path, broker: EmbeddedBroker) -> Settings:
    """A lake and topics of a test's own."""
    return Settings(
        lakehouse_root=str(root / "lake"),
        reference_root=root / "reference",
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=f"{uuid.uuid4().hex[:8]}-",
    )


class Place:
    """A Dagster that lives, its lake and topics, the messages that it was `sent` by topic, the sensor's `first` run,
    which took them, and a webhook that it alerts."""

    def __init__(self, settings: Settings, sent: dict[str, int], dagster: LiveDagster, webhook: Webhook) -> None:
        self.settings, self.sent, self.dagster, self.webhook = settings, sent, dagster, webhook
        self.runs = 0
        self.first = self.next_run()

    def next_run(self) -> dict[str, Any]:
        """The sensor's next run, once it has ended."""
        run = self.dagster.wait_for(lambda: self.dagster.ended_run(self.runs), seconds=500)
        self.runs += 1
        return run


@pytest.fixture(scope="module")
def place(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("live")
    settings = new_settings(root, broker)
    sent = to_kafka(simulate(SimulatorConfig(users=8, events=100, seed=seed, beta=86_400)), settings)
    with Webhook("/hooks/alerts") as webhook:
        env = environment(settings, root / "dagster", ALERT_WEBHOOK_URL=webhook.url)
        command = ["dagster", "dev", "-m", "music_lakehouse.definitions"]
        with LiveDagster(command, env, root / "dagster.log") as dagster:
            yield Place(settings, sent, dagster, webhook)


def test_the_sensor_runs_the_pipeline_for_new_messages_and_the_run_says_what_it_did(place: Place) -> None:
    run = place.first
    assert run["status"] == "SUCCESS", run
    assert run["tags"]["dagster/sensor_name"] == "kafka_sensor"
    assert set(run["figures"]) == {name.replace(".", "/") for name in TABLES}
    for event, count in place.sent.items():
        figures = run["figures"][f"raw/{event}"]
        assert figures["rows_inserted"] == count
        ends = " ".join(f"{partition}:{end}" for partition, end in sorted(figures["offsets_to"].items()))
        assert run["tags"][f"kafka/{event}"].endswith(f" {ends}"), "the run read what the sensor asked for"
    streams = run["figures"]["gold/fact_streams"]["rows_inserted"]
    assert streams > 0
    assert DeltaTable(LakePaths(place.settings.lake_uri).path(TABLES["gold.wide_streams"])).count() == streams

    checks = place.dagster.checks(run["runId"], "gold/fact_streams", "keys_resolve", "key_unique")
    assert {name: (check["success"], check["rows"]) for name, check in checks.items()} == {
        "keys_resolve": (True, streams),
        "key_unique": (True, streams),
    }
    observed = place.dagster.wait_for(lambda: place.dagster.observation("kafka/listen_events"), seconds=120)
    assert {"end_offsets", "lag"} <= set(observed)


@pytest.mark.slow
def test_chosen_days_of_the_summaries_are_computed_again_in_one_run(place: Place) -> None:
    summary = DeltaTable(LakePaths(place.settings.lake_uri).path(TABLES["gold.daily_user_summary"]))
    right = summary.to_pyarrow_table()
    days = sorted({str(day) for day in right["date_part"].to_pylist()})
    summary.update(updates={"unique_songs": "99"})

    done = place.dagster.backfill("backfill/daily_summaries", days)

    assert (done["status"], done["numPartitions"]) == ("COMPLETED_SUCCESS", len(days))
    assert [run["status"] for run in done["runs"]] == ["SUCCESS"]
    summary.update_incremental()
    assert sorted(map(str, summary.to_pyarrow_table().to_pylist())) == sorted(map(str, right.to_pylist()))


@pytest.mark.slow
def test_a_broken_rule_fails_its_check_stops_what_is_downstream_and_is_alerted(place: Place) -> None:
    good = json.dumps({"ts": 1_700_000_000_000, "sessionId": 1, "itemInSession": 0, "level": "free", "success": True})
    to_kafka([*[Message(AUTH, b"no JSON", 0)] * 6, *[Message(AUTH, good.encode(), 0)] * 4], place.settings)
    run = place.next_run()
    assert run["status"] == "FAILURE"
    check = place.dagster.checks(run["runId"], f"bronze/{AUTH}", "json_object")["json_object"]
    assert (check["success"], check["severity"], check["rows"], check["failed"]) == (False, "ERROR", 10, 6)
    assert {f"bronze/{event}" for event in TOPICS} <= set(run["figures"])
    stopped = {"silver/dim_users", "silver/user_profiles", "gold/fact_streams", "gold/wide_streams"}
    assert stopped.isdisjoint(run["figures"])

    def alert() -> list[dict[str, Any]]:
        return [posted for posted in place.webhook.posted if posted["run_id"] == run["runId"]]

    (posted,) = place.dagster.wait_for(alert, seconds=120)
    assert posted["kind"] == "failed"
    assert f"bronze/{AUTH} json_object (ERROR)" in posted["text"]

    def last_skip() -> str | None:
        reason = place.dagster.last_skip("kafka_sensor") or ""
        return reason if "failed by a rule" in reason else None

    assert run["runId"] in place.dagster.wait_for(last_skip, seconds=120)


def test_dg_check_defs_finds_nothing_wrong(tmp_path: Path, broker: EmbeddedBroker) -> None:
    output = run_command("dg", "check", "defs", env=environment(new_settings(tmp_path, broker), tmp_path / "dagster"))
    assert "All definitions loaded successfully" in output


@pytest.mark.slow
def test_dagster_job_execute_makes_every_table_also_of_empty_topics(tmp_path: Path, broker: EmbeddedBroker) -> None:
    settings = new_settings(tmp_path, broker)
    env = environment(settings, tmp_path / "dagster")
    job = ["-m", "music_lakehouse.definitions", "-j", "streaming_pipeline"]
    assert "RUN_SUCCESS" in run_command("dagster", "job", "execute", *job, env=env)
    lake = LakePaths(settings.lake_uri)
    assert [name for name, table in TABLES.items() if lake.state(table) is None] == []


@pytest.mark.slow
def test_a_run_that_is_killed_is_reported_failed_and_another_one_takes_its_messages(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    settings = new_settings(tmp_path, broker)
    sent = to_kafka(simulate(SimulatorConfig(users=4, events=40, seed=1, beta=86_400)), settings)
    command = ["dagster", "dev", "-m", "music_lakehouse.definitions"]
    with LiveDagster(command, environment(settings, tmp_path / "dagster"), tmp_path / "dagster.log") as dagster:
        holder = dagster.wait_for(lambda: current_holder(settings.lake_uri), seconds=300)
        for process in holder.processes:
            os.kill(process.pid, signal.SIGKILL)
        killed = dagster.wait_for(lambda: dagster.ended_run(0))
        assert (killed["runId"], killed["status"]) == (holder.run_id, "FAILURE")
        again = dagster.wait_for(lambda: dagster.ended_run(1), seconds=500)
    assert again["status"] == "SUCCESS"
    assert {name: again["tags"][name] for name in again["tags"] if name.startswith("kafka/")} == {
        name: killed["tags"][name] for name in killed["tags"] if name.startswith("kafka/")
    }
    assert again["tags"]["dagster/run_key"].endswith("attempt 1")
    lake = LakePaths(settings.lake_uri)
    assert {event: lake.rows(TABLES[f"raw.{event}"]) for event in sent} == sent


@pytest.mark.slow
def test_dg_launch_materializes_an_asset(tmp_path: Path, broker: EmbeddedBroker) -> None:
    settings = new_settings(tmp_path, broker)
    run_command("dg", "launch", "--assets", f"key:raw/{AUTH}", env=environment(settings, tmp_path / "dagster"))
    assert LakePaths(settings.lake_uri).state(TABLES[f"raw.{AUTH}"]) is not None


@pytest.mark.slow
def test_dg_dev_serves_the_project(tmp_path: Path, broker: EmbeddedBroker) -> None:
    settings = new_settings(tmp_path, broker)
    env = environment(settings, tmp_path / "dagster")
    with LiveDagster(["dg", "dev"], env, tmp_path / "dg.log") as dagster:
        data = dagster.query("{ assetNodes { assetKey { path } } }")
    assert {f"{table.layer}/{table.name}" for table in TABLES.values()} <= {
        "/".join(node["assetKey"]["path"]) for node in data["assetNodes"]
    }
