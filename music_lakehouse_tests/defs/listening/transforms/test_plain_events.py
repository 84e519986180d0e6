from __future__ import annotations

import random
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
from music_lakehouse_tests.defs.listening.transforms.test_events import CASES, SENT, SENT_MS, sent, text_of
from music_lakehouse_tests.oracle.bronze import decide
from music_lakehouse_tests.oracle.values import key

LISTEN = "listen_events"


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


@pytest.fixture(scope="module")
def judged() -> dict[str, dict[str, Any]]:
    """What becomes of each of the cases."""
    rows: dict[str, dict[str, Any]] = {}
    for topic in RAW:
        names = [name for name, case in CASES.items() if case.topic == topic]
        rows |= dict(zip(names, looked_at(topic, [text_of(CASES[name].value) for name in names]), strict=True))
    return rows


def require_what_the_oracle_says(topic: str, text: str | None, row: dict[str, Any], at_ms: int) -> None:
    expected, reasons = decide(topic, text, at_ms)
    assert reasons == [], text
    assert {column: row[column] for column in expected} == expected, text
    # 0.0 and -0.0 are equal, but not the same.
    assert [str(row[column]) for column in expected] == [str(value) for value in expected.values()], text


@pytest.mark.parametrize("name", CASES)
def test_what_is_taken_for_a_valid_plain_message_is_what_the_oracle_says(
    judged: dict[str, dict[str, Any]], name: str
) -> None:
    case, row = CASES[name], judged[name]
    if not row[IS_VALID]:
        assert (row["value"], row["key"]) == (text_of(case.value), b"k")
        return
    require_what_the_oracle_says(case.topic, text_of(case.value), row, SENT_MS)
    assert row["value"] is None


def test_plain_messages_are_taken_and_no_others(judged: dict[str, dict[str, Any]]) -> None:
    taken = {name for name, row in judged.items() if row[IS_VALID]}
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


AT = datetime(2100, 1, 1, tzinfo=timezone.utc)
AT_MS = int(AT.timestamp() * 1000)


def simulated(seed: int) -> dict[str, list[str | None]]:
    """The messages of a dirty simulation by topic, as text."""
    print(f"seed {seed}")
    by_topic: dict[str, list[str | None]] = {topic: [] for topic in RAW}
    for message in simulate(SimulatorConfig(users=80, days=3, seed=seed, dirty=0.2)):
        by_topic[message.topic].append(text_of(message.value))
    return by_topic


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(2))
def test_of_a_dirty_simulation_each_message_is_left_or_is_what_the_oracle_says(seed: int) -> None:
    for topic, texts in simulated(seed).items():
        rows = looked_at(topic, texts, AT)
        valid = [row for row in rows if row[IS_VALID]]
        assert len(rows) == len(texts)
        assert len(valid) > len(texts) / 3
        for row in valid:
            require_what_the_oracle_says(topic, texts[row["kafka_offset"]], row, AT_MS)
            assert row["bronze_id"] == key("id", 0, row["kafka_offset"])
            assert row["event_id"] == key(*(row[name] for name in ("userId", "sessionId", "itemInSession", "ts")))
            assert row["ingestion_date"] == SENT.date()


# fmt: off
PIECES = (
    '"', "'", "{", "}", "[", "]", ",", ":", " ", "\n", "\x00", "\x0b", "\\", "\\u0041", "\\u0000", "\\ud83c", "\ufeff",
    "é", "1", "0", "-", ".", "e5", "1.0", "-0", "-0.0", "99999999999999999999", "null", "true", "NaN",
    "-Infinity", "/**/",
    ',"lat":-0', ',"lon":1E2', ',"tag":1', ',"song":"[x]"', ',"song":"true"', ',"userId":""', ',"level":"PAID "',
)
# fmt: on


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in range(20)])
def test_a_message_that_was_broken_at_random_is_left_or_is_what_the_oracle_says(seed: int) -> None:
    chance = random.Random(seed)

    def broken(text: str) -> str:
        for _ in range(chance.randrange(3)):
            at, end = chance.randrange(len(text) + 1), text.rfind("}")
            cut = at + chance.choice((0, 0, 1, 3))
            if chance.random() < 0.3 and end > 0:
                at = cut = end
            text = text[:at] + chance.choice(PIECES) + text[cut:]
        return text

    taken = 0
    for topic, texts in simulated(seed).items():
        sent_so = [broken(text) for text in texts[:3_000] if text]
        valid = [row for row in looked_at(topic, sent_so, AT) if row[IS_VALID]]
        taken += len(valid)
        for row in valid:
            require_what_the_oracle_says(topic, sent_so[row["kafka_offset"]], row, AT_MS)
    assert taken > 100


def test_a_null_that_was_sent_is_a_value_that_is_missing() -> None:
    [row] = looked_at(LISTEN, [sent(tag=None, userId=None, lat=None).decode()])
    assert row[IS_VALID]
    assert (row["tag"], row["userId"], row["latitude"], row["sessionId"]) == (None, None, None, 5)


def test_a_row_has_the_columns_of_bronze_and_of_raw() -> None:
    [row] = looked_at(LISTEN, [sent().decode()])
    assert set(row) == {IS_VALID, *BRONZE[LISTEN].column_names, *RAW[LISTEN].column_names}
