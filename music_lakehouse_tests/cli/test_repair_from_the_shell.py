"""Repair commands as a user types them, on a lake that the pipeline filled from a real broker: with a Spark session of
their own, and on a Spark Connect server without Java."""

from __future__ import annotations

import os
from collections import Counter

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from music_lakehouse.defs.listening.gold_tables import ARTIST_POPULARITY, WIDE_STREAMS
from music_lakehouse.defs.listening.silver_tables import DIM_USERS
from music_lakehouse.defs.shell import asset_key
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.resources.connect_server import ConnectServer
from music_lakehouse.settings import TOPICS
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.cli.place import Place
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.messages import Message, messages_from_kafka
from music_lakehouse_tests.oracle.persons import users_of, without_user

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

LISTENS = "listen_events"


@pytest.fixture(scope="module", params=["own session", "Spark Connect"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, broker: EmbeddedBroker, seed: int
) -> Place:
    """A directory with a lake of some hundred events, three in a hundred messages with a fault."""
    directory = tmp_path_factory.mktemp("place")
    prefix = f"{request.param.lower().replace(' ', '-')}-"
    settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_TOPIC_PREFIX": prefix}
    if request.param == "Spark Connect":
        server: ConnectServer = request.getfixturevalue("connect_server")
        settings |= {"SPARK_REMOTE": server.remote, "JAVA_HOME": str(directory / "no java")}
    place = Place(directory, settings)
    simulated = place.run("simulate", "--events", "600", "--users", "20", "--dirty", "0.03", "--seed", str(seed))
    assert simulated.code == 0, simulated.err
    ran = place.run("run", "streaming_pipeline")
    assert ran.code == 0, ran.err
    return place


def sent(place: Place) -> list[Message]:
    return messages_from_kafka(
        place.settings["KAFKA_BOOTSTRAP_SERVERS"],
        {topic: f"{place.settings['KAFKA_TOPIC_PREFIX']}{topic}" for topic in TOPICS},
    )


def told(place: Place, table: Table) -> dg.AssetMaterialization:
    """What Dagster knows of the table's last change."""
    with dg.DagsterInstance.from_config(str(place.directory / "data" / "dagster")) as instance:
        event = instance.get_latest_materialization_event(asset_key(table))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


def test_reprocess_puts_right_what_was_changed_by_hand_and_tells_dagster(place: Place) -> None:
    path = os.path.join(place.lake, WIDE_STREAMS.layer, WIDE_STREAMS.name)
    changed = DeltaTable(path).update(updates={"artistName": "'by hand'"})["num_updated_rows"]
    assert changed > 0

    ran = place.run("reprocess", "--from", "2000-01-01", "--to", "2100-01-01", WIDE_STREAMS.full_name, "--yes")

    assert ran.code == 0, ran.err
    assert "streaming_pipeline succeeded" in ran.out
    assert told(place, WIDE_STREAMS).metadata["rows_updated"].value == changed
    assert_lake_equals_oracle(place.lake, sent(place), place.directory / "data" / "reference")


def test_rebuild_writes_a_table_anew_that_was_changed_by_hand_and_what_follows_it(place: Place) -> None:
    path = os.path.join(place.lake, DIM_USERS.layer, DIM_USERS.name)
    assert DeltaTable(path).update(updates={"level": "'by hand'"})["num_updated_rows"] > 0

    ran = place.run("rebuild", DIM_USERS.full_name, "--yes")

    assert ran.code == 0, ran.err
    assert_lake_equals_oracle(place.lake, sent(place), place.directory / "data" / "reference")


def test_retry_takes_into_bronze_what_is_valid_and_was_refused_by_hand(place: Place) -> None:
    bronze, quarantine = (DeltaTable(os.path.join(place.lake, "bronze", name)) for name in (LISTENS, "quarantine"))
    [one] = bronze.to_pyarrow_table().slice(0, 1).to_pylist()
    [refused] = quarantine.to_pyarrow_table().slice(0, 1).to_pylist()
    raw = DeltaTable(os.path.join(place.lake, "raw", LISTENS)).to_pyarrow_table().to_pylist()
    at = ("kafka_partition", "kafka_offset")
    [message] = [row for row in raw if all(row[name] == one[name] for name in at)]
    bronze.delete(" AND ".join(f"{name} = {one[name]}" for name in at))
    by_hand = {**refused, **{name: message[name] for name in message if name in refused}, "topic": LISTENS}
    write_deltalake(
        quarantine, pa.Table.from_pylist([by_hand], schema=quarantine.to_pyarrow_dataset().schema), mode="append"
    )

    ran = place.run("quarantine", "retry", "--topic", LISTENS)

    assert ran.code == 0, ran.err
    again = place.run("run", "streaming_pipeline")
    assert again.code == 0, again.err
    assert_lake_equals_oracle(place.lake, sent(place), place.directory / "data" / "reference")


def test_forget_user_leaves_nothing_of_them_and_tells_dagster(place: Place) -> None:
    messages = sent(place)
    [(user, _)] = Counter(users_of(messages)).most_common(1)

    ran = place.run("forget-user", str(user), "--yes")

    assert ran.code == 0, ran.err
    assert f"User {user} is in no file of the lake, and the laws hold" in ran.out
    reference = place.directory / "data" / "reference"
    assert_lake_equals_oracle(place.lake, without_user(messages, user), reference)
    for table in (WIDE_STREAMS, ARTIST_POPULARITY):
        of_table = told(place, table)
        assert of_table.description == "A user was forgotten, and all earlier versions with them"
        assert of_table.metadata["dagster/row_count"].value == len(read_table(place.lake, table.full_name))
    assert str(user) not in str(told(place, ARTIST_POPULARITY).description)
    again = place.run("forget-user", str(user), "--yes")
    assert again.code == 0, again.err
    assert "by id alone" in again.out
