"""One dirty history as Kafka messages, and its way into a lake in batches, without Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

from music_lakehouse.defs.listening.assets import REFERENCES
from music_lakehouse.defs.listening.steps import STEPS
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.reference import load_reference
from music_lakehouse.lakehouse.steps import StepReport, run_step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import LISTEN
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse_tests.oracle.messages import TOPICS, Message

START = datetime(2024, 2, 26, tzinfo=timezone.utc)  # the week of a leap day
SENT_MS = int(datetime(2024, 3, 10, tzinfo=timezone.utc).timestamp() * 1000)

Event = dict[str, Any]


def dirty_history(seed: int, events: int = 160) -> list[Message]:
    """Messages of two runs of a producer over the same days: users and session numbers meet, names differ, levels
    change often, a fifth of the messages has one of the simulator's faults, and a tenth one of those below."""
    rng = Random(f"history {seed}")
    values: list[tuple[str, bytes | None]] = []
    for run in range(2):
        config = SimulatorConfig(
            users=6,
            start=START,
            days=7,
            events=events // 2,
            seed=2 * seed + run,
            beta=86_400,
            dirty=0.2,
            unknown_songs=0.1,
            extra_level_changes=0.5,
        )
        values += [(message.topic, message.value) for message in simulate(config)]
    return numbered(with_more_faults(values, rng))


def with_more_faults(values: Iterable[tuple[str, bytes | None]], rng: Random) -> Iterator[tuple[str, bytes | None]]:
    """The messages, and beside a tenth of them one that contradicts or repeats it."""
    last_of_user: dict[Any, Event] = {}
    for topic, value in values:
        yield topic, value
        event = _event(value)
        if event is None:
            continue
        if rng.random() < 0.1:
            fault = rng.choice((_other_delivery, _same_time, _same_session, _less_of_the_user, _renamed))
            yield topic, _value(fault(event, last_of_user.get(event.get("userId"), event), topic, rng))
        last_of_user[event.get("userId")] = event


def _other_delivery(event: Event, _: Event, topic: str, rng: Random) -> Event:
    """The same event again, with other content."""
    if topic == LISTEN:
        return {**event, "duration": rng.choice([None, 1.5, 200.25]), "song": rng.choice([event.get("song"), None])}
    return {**event, "city": rng.choice([None, "Elsewhere"]), "level": rng.choice(["free", "paid"])}


def _same_time(event: Event, other: Event, _: str, rng: Random) -> Event:
    """Another event at the time of the user's last one, of either level."""
    return {**event, "ts": other.get("ts"), "level": rng.choice(["free", "PAID"])}


def _same_session(event: Event, other: Event, _: str, __: Random) -> Event:
    """The event in the session of the last one."""
    return {**event, "sessionId": other.get("sessionId"), "itemInSession": 99}


def _less_of_the_user(event: Event, _: Event, __: str, rng: Random) -> Event:
    return {**event, "itemInSession": 77, rng.choice(["firstName", "lastName", "gender", "registration"]): None}


def _renamed(event: Event, _: Event, __: str, rng: Random) -> Event:
    name = rng.choice(['"Zoë"', "ZoÃ«", "Zo\\e"])
    return {**event, "itemInSession": 55, "firstName": name, "artist": rng.choice([name, None, "AC|DC"])}


def numbered(values: Iterable[tuple[str, bytes | None]]) -> list[Message]:
    """The messages on two partitions a topic."""
    found, counts = [], dict.fromkeys(TOPICS, 0)
    for topic, value in values:
        count = counts[topic]
        counts[topic] += 1
        found.append(Message(topic, topic, f"id-{topic}", count % 2, count // 2, SENT_MS, value))
    return found


def batches_of(messages: Sequence[Message], count: int, rng: Random) -> list[list[Message]]:
    """The messages, shuffled, in so many batches of any size."""
    shuffled = rng.sample(messages, len(messages))
    cuts = sorted(rng.sample(range(1, len(messages)), count - 1))
    return [list(shuffled[start:end]) for start, end in zip([0, *cuts], [*cuts, len(messages)], strict=True)]


def deliver(lake: Lake, messages: Iterable[Message]) -> None:
    """The messages into bronze and quarantine, as one batch."""
    lake.create(QUARANTINE)
    by_topic: dict[str, list[Message]] = {topic: [] for topic in TOPICS}
    for message in messages:
        by_topic[message.event_name].append(message)
    for topic, sent in by_topic.items():
        lake.create(BRONZE[topic])
        if sent:
            rows = [raw_row(message) for message in sent]
            marked = events.parse(lake.spark.createDataFrame(rows, RAW[topic].ddl), topic).persist()
            lake.append(events.valid(marked, topic), BRONZE[topic])
            lake.append(events.refused(marked, topic), QUARANTINE)
            marked.unpersist()


def run_steps(lake: Lake, reference_root: Path) -> dict[Table, StepReport]:
    """The reference files and all steps, once."""
    for reference in REFERENCES:
        load_reference(lake, reference, reference_root)
    try:
        return {table: run_step(lake, step) for table, step in STEPS.items()}
    finally:
        lake.release()


def raw_row(message: Message) -> tuple[Any, ...]:
    """The message as a row of its raw table."""
    try:
        text, rest = None if message.value is None else message.value.decode(), None
    except UnicodeDecodeError:
        text, rest = None, message.value
    sent = datetime.fromtimestamp(message.kafka_timestamp_ms / 1000, timezone.utc)
    return text, rest, None, sent, message.kafka_topic, message.topic_id, message.partition, message.offset, START


def _event(value: bytes | None) -> Event | None:
    try:
        event = json.loads(value or b"")
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _value(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()
