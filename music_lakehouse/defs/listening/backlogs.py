"""What Kafka holds of the listening topics that the lake lacks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, WIDE_STREAMS
from music_lakehouse.defs.listening.tables import BRONZE, RAW
from music_lakehouse.lakehouse import kafka_positions
from music_lakehouse.lakehouse.changes import rows_behind
from music_lakehouse.lakehouse.kafka import Topic, describe_topics
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import is_told_again
from music_lakehouse.settings import Settings

# With this a sensor's tick answers within five seconds, also where no broker does.
BROKER_SECONDS = 4.0


@dataclass(frozen=True)
class Backlog:
    """What a topic holds that its raw table lacks: `unread` messages, and whether messages are `lost`, which a run is
    to say."""

    event: str
    topic: Topic
    unread: int
    lost: bool = False

    @property
    def offsets(self) -> str:
        """The topic's identity and end, as text: `<topic id> 0:12 1:30`."""
        ends = " ".join(f"{partition}:{end}" for partition, end in sorted(self.topic.end_offsets.items()))
        return f"{self.topic.topic_id} {ends}"


def find_backlogs(
    lake: LakePaths, settings: Settings, *, timeout_seconds: float = BROKER_SECONDS
) -> tuple[list[Backlog], list[str]]:
    """What each topic holds that its raw table lacks, and the names of topics that don't exist.

    Raises BrokerUnavailableError where no broker answers within `timeout_seconds`, BrokerAccessError where one
    refuses us.
    """
    topics = describe_topics(settings, settings.topics.values(), timeout_seconds=timeout_seconds)
    backlogs = []
    for event, name in settings.topics.items():
        if name in topics:
            topic, table = topics[name], RAW[event]
            starts = kafka_positions.starting_offsets(lake, table, topic)
            unread = sum(end - starts[partition] for partition, end in topic.end_offsets.items())
            lost = bool(kafka_positions.find_losses(lake, table, topic))
            backlogs.append(Backlog(event, topic, unread, lost))
    return backlogs, [name for name in settings.topics.values() if name not in topics]


def rows_unparsed(lake: LakePaths) -> int:
    """About how many raw rows are still to be parsed, or at most how many are to be parsed again, by the logs alone."""
    steps = {table: BRONZE[event].full_name for event, table in RAW.items()}
    return sum(
        lake.rows(raw) if is_told_again(lake, step) else rows_behind(lake, step, raw) for raw, step in steps.items()
    )


def rows_behind_gold(lake: LakePaths) -> int:
    """About how many listen events are on their way from raw to gold.wide_streams, by the logs alone."""
    way = (RAW["listen_events"], BRONZE["listen_events"], FACT_STREAMS, WIDE_STREAMS)
    return sum(rows_behind(lake, step.full_name, source) for source, step in pairwise(way))
