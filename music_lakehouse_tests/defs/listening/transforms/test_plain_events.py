from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest

from music_lakehouse.defs.listening.tables import BRONZE, RAW
from music_lakehouse.defs.listening.transforms.plain_events import IS_VALID, plain_events
from music_lakehouse.lakehouse.lake import LakePaths, conformed
from music_lakehouse.lakehouse.query import query
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse_tests.defs.listening.transforms.test_events import CASES, SENT, SENT_MS, sent
from music_lakehouse_tests.oracle.bronze import decide
from music_lakehouse_tests.oracle.values import key

LISTEN = "listen_events"


def text_of(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def looked_at(topic: str, values: Sequence[str | None], at: datetime = SENT) -> list[dict[str, Any]]:
    """What the query gives of messages that came at that time, in their order."""
    rows = [
        {
            "value": value,
            "key": b"k",
            "kafka_timestamp": at,
            "kafka_topic": f"test-{topic}",
            "kafka_topic_id": "id",
            "kafka_partition": 0,
            "kafka_offset": offset,
            "ingestion_timestamp": SENT,
        }
        for offset, value in enumerate(values)
    ]
    raw = conformed(pa.Table.from_pylist(rows), RAW[topic])
    return list(query(LakePaths("/nowhere"), plain_events(topic), raw=raw).sort_by("kafka_offset").to_pylist())


@pytest.mark.parametrize("name", CASES)
def test_what_is_taken_for_a_valid_plain_message_is_what_the_oracle_says(name: str) -> None:
    case = CASES[name]
    [row] = looked_at(case.topic, [text_of(case.value)])
    if not row[IS_VALID]:
        assert (row["value"], row["key"]) == (text_of(case.value), b"k")
        return
    expected, reasons = decide(case.topic, text_of(case.value), SENT_MS)
    assert reasons == []
    assert {column: row[column] for column in expected} == expected
    assert row["value"] is None


def test_plain_messages_are_taken_and_no_others() -> None:
    taken = {name for name, case in CASES.items() if looked_at(case.topic, [text_of(case.value)])[0][IS_VALID]}
    assert {"complete", "blanks around it", "escapes"} <= taken
    assert {"duplicate keys", "unknown fields", "numbers as text", "half a surrogate"}.isdisjoint(taken)


@pytest.mark.parametrize(
    "text",
    [
        sent().decode().replace("}", ",}"),
        sent().decode().replace("}", " , }\n"),
        sent().decode()[:-1] + ',"lat":Infinity}',
        sent().decode()[:-1] + ',"lat":1e400}',
        sent().decode()[:-1] + ',"lat":/**/1}',
        sent().decode()[:-1] + f',"lat":0.{"0" * 1001}}}',
        sent(itemInSession=2**31).decode(),
        sent(sessionId=2**63).decode(),
        sent(sessionId=2**64).decode(),
        sent(level="ﬀree").decode(),
        sent(level="\u00a0free").decode(),
        sent(level="\tfree").decode(),
        sent(level="PAİD").decode(),
    ],
)
def test_what_the_two_parsers_read_otherwise_is_left_to_the_other(text: str) -> None:
    assert not looked_at(LISTEN, [text])[0][IS_VALID]


@pytest.mark.parametrize("seed", range(3))
def test_of_a_dirty_simulation_each_message_is_left_or_is_what_the_oracle_says(seed: int) -> None:
    print(f"seed {seed}")
    config = SimulatorConfig(users=30, days=3, seed=seed, dirty=0.2)
    by_topic: dict[str, list[bytes | None]] = {topic: [] for topic in RAW}
    for message in simulate(config):
        by_topic[message.topic].append(message.value)
    at = datetime(2100, 1, 1, tzinfo=timezone.utc)
    at_ms = int(at.timestamp() * 1000)
    for topic, values in by_topic.items():
        texts = [text_of(value) for value in values]
        rows = looked_at(topic, texts, at)
        valid = [row for row in rows if row[IS_VALID]]
        assert len(rows) == len(texts)
        assert len(valid) > len(texts) / 3
        for row in valid:
            expected, reasons = decide(topic, texts[row["kafka_offset"]], at_ms)
            assert reasons == []
            assert {column: row[column] for column in expected} == expected
            assert row["bronze_id"] == key("id", 0, row["kafka_offset"])
            assert row["event_id"] == key(*(row[name] for name in ("userId", "sessionId", "itemInSession", "ts")))
            assert row["ingestion_date"] == SENT.date()


def test_a_null_that_was_sent_is_a_value_that_is_missing() -> None:
    [row] = looked_at(LISTEN, [sent(tag=None, userId=None, lat=None).decode()])
    assert row[IS_VALID]
    assert (row["tag"], row["userId"], row["latitude"], row["sessionId"]) == (None, None, None, 5)


def test_a_row_has_the_columns_of_bronze_and_of_raw() -> None:
    [row] = looked_at(LISTEN, [sent().decode()])
    assert set(row) == {IS_VALID, *BRONZE[LISTEN].column_names, *RAW[LISTEN].column_names}
