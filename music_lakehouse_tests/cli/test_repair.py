from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable, write_deltalake

from music_lakehouse.cli import held
from music_lakehouse.cli.job_run import jobs_of
from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.customers.tables import DIM_CUSTOMER, FACT_SALES
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.kafka import describe_topics, ensure_topics
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse.lakehouse.positions import begins_anew, record_source_position
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse_tests.cli.conftest import Command
from music_lakehouse_tests.defs.listening.small_lakes import write
from music_lakehouse_tests.lakehouse.items import seen_by_readers
from music_lakehouse_tests.oracle.lake import read_lake
from music_lakehouse_tests.waiting import lent

pytestmark = pytest.mark.thorough

TABLE = DIM_CUSTOMER.full_name
START = datetime(2024, 3, 1)


@pytest.fixture(params=["disk", "object store"])
def sold(place: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LakePaths:
    """A lake with two versions of the customers' dimension, of which the sales were made."""
    on_disk = request.param == "disk"
    lake = LakePaths(str(place / "data" / "lakehouse") if on_disk else f"{request.getfixturevalue('bucket')}/lake")
    monkeypatch.setenv("LAKEHOUSE_ROOT", lake.root)
    for segment in ("BUILDING", "MACHINERY"):
        row = dict.fromkeys(DIM_CUSTOMER.column_names) | {"dim_customer_id": 1, "c_mktsegment": segment}
        rows = pa.Table.from_pylist([row], schema=DIM_CUSTOMER.arrow_schema)
        write_deltalake(lake.path(DIM_CUSTOMER), rows, mode="overwrite", storage_options=delta.storage_options())
    record_source_position(lake, FACT_SALES.full_name, TABLE, TableState("id", 1))
    return lake


def segment(lake: LakePaths) -> str:
    [found] = at(lake).to_pyarrow_table()["c_mktsegment"].to_pylist()
    return str(found)


def at(lake: LakePaths) -> DeltaTable:
    found = lake.open(DIM_CUSTOMER)
    assert found is not None
    return found


def test_history_shows_a_tables_versions(command: Command, sold: LakePaths) -> None:
    ran = command("history", TABLE)

    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines() if "WRITE" in line] == ["1", "0"]


def test_diff_shows_in_which_rows_versions_differ(command: Command, sold: LakePaths) -> None:
    ran = command("diff", TABLE, "--from", "0")

    assert ran.code == 0
    assert "c_mktsegment: BUILDING -> MACHINERY" in ran.out
    assert f"{TABLE} from version 0 to 1: 0 rows inserted, 1 updated, 0 deleted" in ran.out


def test_diff_says_where_a_version_isnt_there(command: Command, sold: LakePaths) -> None:
    ran = command("diff", TABLE, "--from", "5", "--to", "6")

    assert ran.code == 1
    assert f"versions 5 and 6 of {TABLE} can't be compared" in ran.error


def test_restore_puts_a_table_back_and_says_what_the_next_run_does(command: Command, sold: LakePaths) -> None:
    ran = command("restore", TABLE, "--version", "0", "--yes")

    assert ran.code == 0
    assert f"{TABLE} has the rows of version 0 again, as version 2" in ran.out
    assert f"The next run writes anew: {FACT_SALES.full_name}" in ran.out
    assert segment(sold) == "BUILDING"
    assert begins_anew(sold, FACT_SALES.full_name)


def test_restore_tells_dagster_which_rows_the_table_has_now(command: Command, sold: LakePaths) -> None:
    assert command("restore", TABLE, "--version", "0", "--yes").code == 0

    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(TABLE.split(".")))
    assert event is not None
    told = event.asset_materialization
    assert told is not None
    assert told.description == "Restored to the rows of version 0"
    assert (told.metadata["dagster/row_count"].value, told.metadata["table_version"].value) == (1, 2)


def test_restore_takes_a_time_as_utc(command: Command, sold: LakePaths) -> None:
    [newest, _] = at(sold).history()
    moment = datetime.fromtimestamp(newest["timestamp"] / 1000 - 60, timezone.utc)

    ran = command("restore", TABLE, "--timestamp", moment.strftime("%Y-%m-%dT%H:%M:%S"), "--yes")

    assert ran.code == 1
    assert f"{TABLE} had no version at {moment:%Y-%m-%d %H:%M:%S}+00:00" in ran.error


@pytest.mark.parametrize("which", [(), ("--version", "0", "--timestamp", "2024-01-01")])
def test_restore_wants_to_know_one_version(command: Command, sold: LakePaths, which: tuple[str, ...]) -> None:
    ran = command("restore", TABLE, *which)

    assert ran.code == 2
    assert "either --version or --timestamp" in ran.error


def test_nothing_is_restored_or_rebuilt_while_a_run_holds_the_lake(
    command: Command, sold: LakePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "WAIT_SECONDS", 0.1)
    lock = LakeLock(sold.root)
    lock.acquire("a run")
    try:
        restored, rebuilt = command("restore", TABLE, "--version", "0", "--yes"), command("rebuild", TABLE, "--yes")
    finally:
        lock.release()

    assert (restored.code, rebuilt.code) == (1, 1)
    assert "the lake is held by" in restored.error
    assert "the lake is held by" in rebuilt.error
    assert segment(sold) == "MACHINERY"


def raw_of_four_messages(place: Path, topic: str, topic_id: str) -> LakePaths:
    """A lake with a raw table of two versions: two messages of a topic, and then two more."""
    lake = LakePaths(str(place / "data" / "lakehouse"))
    common = {"kafka_topic": topic, "kafka_topic_id": topic_id, "kafka_partition": 0}
    for offsets in ((0, 1), (2, 3)):
        write(lake, RAW["listen_events"], [{**common, "kafka_offset": offset} for offset in offsets], mode="append")
    return lake


def test_where_no_broker_answers_nobody_knows_what_a_restored_raw_table_would_lack(
    command: Command, place: Path
) -> None:
    raw_of_four_messages(place, "listen_events", "id")

    ran = command("restore", "raw.listen_events", "--version", "0", "--yes")

    assert ran.code == 0, ran.err
    assert "Whether Kafka still has what came since version 0 can't be checked (no Kafka broker answers" in ran.err
    assert "MessagesLostError until `music-lakehouse accept-loss listen_events`" in ran.err


@pytest.mark.kafka
@pytest.mark.usefixtures("own_topics")
def test_before_a_raw_table_is_restored_it_is_said_what_kafka_no_longer_has(
    command: Command, place: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    name = f"{topic_prefix}listen_events"
    restore = ("restore", "raw.listen_events", "--version", "0")
    ensure_topics(Settings(), [name], partitions=1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for _ in range(4):
        producer.produce(name, b"{}", partition=0)
    producer.flush()
    topic_id = describe_topics(Settings(), [name])[name].topic_id
    lake = raw_of_four_messages(place, name, topic_id)

    kept = command(*restore)
    admin, expired = AdminClient({"bootstrap.servers": broker.bootstrap_servers}), TopicPartition(name, 0, 3)
    admin.delete_records([expired])[expired].result(30)
    gone = command(*restore)

    assert (kept.code, gone.code) == (1, 1), "neither was meant"
    assert kept.err.splitlines() == [kept.error], "Kafka has it all"
    assert "1 messages that raw.listen_events has came since version 0 and are gone from Kafka" in gone.err
    stops = f"the next run would stop with MessagesLostError until `music-lakehouse accept-loss {name}`"
    assert f"{stops}: partition 0: offsets 2 to 3 of topic id {topic_id}" in gone.err

    write(lake, RAW["listen_events"], [])
    for file in DeltaTable(lake.path(RAW["listen_events"]), version=0).file_uris():
        Path(file).unlink()
    assert "can't be put back to version 0, whose files table_maintenance may" in command(*restore, "--yes").error


def test_a_run_that_lends_the_lake_is_waited_for(command: Command, sold: LakePaths) -> None:
    with lent(sold.root, "run-17"):
        ran = command("restore", TABLE, "--version", "0", "--yes")

    assert ran.code == 0, ran.err
    assert "Waiting for the lake, which is held by run run-17" in ran.err
    assert segment(sold) == "BUILDING"


def test_without_a_terminal_both_want_to_be_told_yes(command: Command, sold: LakePaths) -> None:
    restored, rebuilt = command("restore", TABLE, "--version", "0"), command("rebuild", TABLE)

    assert f"This puts {TABLE} back from version 1 to 0: give --yes" in restored.error
    assert f"This writes {TABLE}, and all that is downstream, anew: give --yes" in rebuilt.error
    assert segment(sold) == "MACHINERY"


@pytest.mark.parametrize("words", [("history",), ("diff", "--from", "0"), ("restore", "--version", "0"), ("rebuild",)])
def test_a_table_that_isnt_there_is_named(command: Command, place: Path, words: tuple[str, ...]) -> None:
    unknown, missing = command(words[0], "gold.nowhere", *words[1:]), command(words[0], TABLE, *words[1:])

    assert unknown.code == 2
    assert "there is no table gold.nowhere" in unknown.error
    assert missing.code == 1
    assert f"{TABLE} isn't there yet" in missing.error


def test_what_follows_no_table_cant_be_rebuilt(command: Command, sold: LakePaths) -> None:
    ran = command("rebuild", TABLE, "--yes")

    assert ran.code == 1
    assert f"{TABLE} is not made of other tables, or was not made yet" in ran.error


def test_the_job_of_a_table_is_the_one_that_writes_its_pipeline() -> None:
    tables = ["gold.fact_sales", "silver.dim_users", "silver.customer", "metrics.positions"]

    assert jobs_of(tables) == {
        "customers_pipeline": ["gold.fact_sales", "silver.customer"],
        "streaming_pipeline": ["silver.dim_users"],
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--from", "2024-01-02", "--to", "2024-01-02"), "it has to be later than --from"),
        (("--from", "2024-01-01", "--to", "2024-01-02", TABLE), f"{TABLE} is not made of Kafka's messages by a step"),
        (("--to", "2024-01-02"), "Missing option"),
    ],
)
def test_reprocess_says_what_it_cant_do(command: Command, sold: LakePaths, words: tuple[str, ...], says: str) -> None:
    ran = command("reprocess", *words)

    assert ran.code == 2
    assert says in ran.err


def test_reprocess_asks_first(command: Command, lake: Path) -> None:
    words = ("--from", "2024-01-01", "--to", "2024-01-02T06:00:00", "silver.dim_users")

    ran = command("reprocess", *words)

    assert ran.code == 1
    assert "messages of 2024-01-01T00:00:00+00:00/2024-01-02T06:00:00+00:00 gave to silver.dim_users" in ran.error


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rebuild_makes_a_damaged_table_whole(process: Callable[..., subprocess.Popen[str]], place: Path) -> None:
    land_customers(place / "data" / "landing", CustomersConfig(scale=0.001, chunks=2, seed=1, start=START))

    def run(*arguments: str) -> str:
        started = process(*arguments)
        out, err = started.communicate(timeout=250)
        assert started.returncode == 0, err
        return out

    run("run", "customers_pipeline")
    root = str(place / "data" / "lakehouse")
    rows, damaged = read_lake(root), DeltaTable(f"{root}/silver/customer")
    for file in damaged.file_uris():
        Path(file).write_bytes(b"damaged")

    told = run("rebuild", "silver.customer", "--yes")

    assert "customers_pipeline: silver.customer" in told
    assert "customers_pipeline succeeded" in told
    assert read_lake(root) == rows
    there = len(rows["silver.customer"])
    seen = seen_by_readers(LakePaths(root), damaged.version(), find_table("silver.customer"))
    assert seen == [there, there], "one version, and none without rows"
