from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from typing import Any

import pytest

from music_lakehouse.defs.listening import quarantine
from music_lakehouse.defs.listening.parsing import parse_topic, waiting
from music_lakehouse.defs.listening.quarantine import Retried, retry_quarantine
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import record_source_position
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.oracle.lake import read_table

NOW = datetime(2024, 3, 1, 12, 0, 0, tzinfo=timezone.utc)
MILLISECONDS = int(NOW.timestamp() * 1000)
TOPIC = "listen_events"


def event(**changes: Any) -> str:
    fields = {"ts": MILLISECONDS, "sessionId": 7, "itemInSession": 0, "level": "free", "userId": 3, "song": "Ä"}
    return json.dumps({**fields, **changes})


def raw_row(offset: int, value: str) -> dict[str, Any]:
    return {
        "value": value,
        "value_bytes": None,
        "key": None,
        "kafka_timestamp": NOW,
        "kafka_topic": TOPIC,
        "kafka_topic_id": f"id of {TOPIC}",
        "kafka_partition": 0,
        "kafka_offset": offset,
        "ingestion_timestamp": NOW,
    }


def refused(offset: int, value: str, *reasons: str, topic: str = TOPIC) -> dict[str, Any]:
    row = {name: value for name, value in raw_row(offset, value).items() if name in QUARANTINE.column_names}
    return {**row, "topic": topic, "kafka_topic_id": f"id of {topic}", "reasons": list(reasons)}


def fill(lake: Lake, raw: list[dict[str, Any]], quarantine: list[dict[str, Any]]) -> None:
    """The lake as an older rule left it: it refused `quarantine` of the `raw` messages."""
    for table, rows in ((RAW[TOPIC], raw), (QUARANTINE, quarantine)):
        lake.create(table)
        lake.append(lake.spark.createDataFrame(rows, table.ddl), table)
    lake.create(BRONZE[TOPIC])


def reasons(lake: Lake) -> dict[int, list[str]]:
    return {row.kafka_offset: row.reasons for row in lake.read(QUARANTINE).collect()}


def record_as_parsed(lake: Lake) -> None:
    """All of raw was parsed, when the older rule was in force."""
    state = lake.state(RAW[TOPIC])
    assert state is not None
    record_source_position(lake, BRONZE[TOPIC].full_name, RAW[TOPIC].full_name, state)


def messages(lake: Lake, table: Table) -> set[tuple[str, int]]:
    """The topic ids and offsets that the table has, each once."""
    found = [(row["kafka_topic_id"], row["kafka_offset"]) for row in read_table(lake.root, table.full_name)]
    assert len(found) == len(set(found))
    return set(found)


def bronze_offsets(lake: Lake) -> list[int]:
    return sorted(row.kafka_offset for row in lake.read(BRONZE[TOPIC]).select("kafka_offset").collect())


@pytest.mark.spark
def test_what_is_valid_now_goes_to_bronze_and_the_rest_stays_with_its_present_reasons(lake: Lake) -> None:
    values = [event(), event(level="gold"), event(ts=1), event(itemInSession=4)]
    fill(
        lake,
        [raw_row(offset, value) for offset, value in enumerate(values)],
        [
            refused(0, values[0], "a_rule_of_old"),
            refused(1, values[1], "level_known"),
            refused(2, values[2], "a_rule_of_old"),
            # Its raw row is gone: nobody can judge it.
            refused(9, event(), "a_rule_of_old"),
            refused(7, "{", "json_object", topic="auth_events"),
        ],
    )

    assert retry_quarantine(lake, [TOPIC]) == [Retried(TOPIC, quarantined=4, accepted=1)]

    assert bronze_offsets(lake) == [0]
    [row] = lake.read(BRONZE[TOPIC]).collect()
    assert (row.userId, row.song, row.ts) == (3, "Ä", MILLISECONDS)
    assert reasons(lake) == {1: ["level_known"], 2: ["ts_since_2000"], 9: ["a_rule_of_old"], 7: ["json_object"]}


@pytest.mark.spark
def test_a_second_try_writes_nothing(lake: Lake) -> None:
    fill(lake, [raw_row(0, event()), raw_row(1, "[]")], [refused(0, event(), "old"), refused(1, "[]", "json_object")])
    retry_quarantine(lake, [TOPIC])
    before = [lake.state(table) for table in (BRONZE[TOPIC], QUARANTINE)]

    assert retry_quarantine(lake, [TOPIC]) == [Retried(TOPIC, quarantined=1, accepted=0)]

    assert [lake.state(table) for table in (BRONZE[TOPIC], QUARANTINE)] == before


@pytest.mark.spark
def test_after_a_kill_between_its_two_writes_a_message_is_in_bronze_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, [raw_row(0, event()), raw_row(1, event(itemInSession=1))], [refused(0, event(), "old")])

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("music_lakehouse.defs.listening.quarantine.make_equal", killed)
        with pytest.raises(KeyboardInterrupt):
            retry_quarantine(lake, [TOPIC])
    assert bronze_offsets(lake) == [0]
    assert reasons(lake) == {0: ["old"]}

    assert retry_quarantine(lake, [TOPIC]) == [Retried(TOPIC, quarantined=1, accepted=1)]

    assert bronze_offsets(lake) == [0]
    assert reasons(lake) == {}


@pytest.mark.spark
@pytest.mark.parametrize("killed_at", ["append", "make_equal"])
def test_after_a_kill_of_it_the_next_run_of_the_pipeline_makes_it_right(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    """Killed before or after its first write."""
    valid, faulty = raw_row(0, event()), raw_row(1, event(level="gold"))
    of_another = refused(0, "{", "old", topic="auth_events")
    fill(lake, [valid, faulty], [refused(0, valid["value"], "old"), refused(1, faulty["value"], "old"), of_another])
    record_as_parsed(lake)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        owner: Any = Lake if killed_at == "append" else quarantine
        patched.setattr(owner, killed_at, killed)
        with pytest.raises(KeyboardInterrupt):
            retry_quarantine(lake, [TOPIC])
    quarantined = messages(lake, QUARANTINE)
    assert len(quarantined) == 3
    assert waiting(lake, TOPIC) != 0

    parse_topic(lake, TOPIC, max_bytes="64m")

    accepted = {(f"id of {TOPIC}", 0)} if killed_at == "make_equal" else set()
    assert messages(lake, BRONZE[TOPIC]) == accepted
    assert messages(lake, QUARANTINE) == quarantined - accepted
    assert waiting(lake, TOPIC) == 0


@pytest.mark.slow
@pytest.mark.spark
def test_a_bronze_table_that_a_retry_makes_is_filled_by_the_next_run(lake: Lake) -> None:
    fill(lake, [raw_row(0, event()), raw_row(1, event(itemInSession=1))], [refused(0, event(), "old")])
    record_as_parsed(lake)
    shutil.rmtree(lake.path(BRONZE[TOPIC]))
    lake = Lake(lake.root, lake.spark)

    retry_quarantine(lake, [TOPIC])
    parse_topic(lake, TOPIC, max_bytes="64m")

    assert (bronze_offsets(lake), reasons(lake)) == ([0, 1], {})


@pytest.mark.spark
def test_of_a_lake_without_quarantine_nothing_is_tried(lake: Lake) -> None:
    assert [found.quarantined for found in retry_quarantine(lake)] == [0, 0, 0, 0]
    assert lake.state(BRONZE[TOPIC]) is None
