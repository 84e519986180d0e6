"""What waits for a pipeline, and since when: messages that no raw table has, rows that no step has taken."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

from music_lakehouse.defs.listening.backlogs import Backlog, find_backlogs
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.defs.maintenance.upkeep import steps_behind
from music_lakehouse.lakehouse.inventory import find_tables
from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.settings import Settings

AGAIN_SECONDS = 86_400.0
"""After so long a delay that lasts is told again."""


@dataclass(frozen=True)
class Delay:
    """Something that waits: its name, how it is told, and how far its reader has come. A reader that comes further is
    at work, however much waits for it."""

    name: str
    text: str
    position: str = ""


@dataclass(frozen=True)
class Seen:
    """Since when a delay has been seen with its reader at one position, and when that was told (epoch seconds)."""

    position: str
    since: float
    told: float | None = None


def of_topics(backlogs: Iterable[Backlog], most: int) -> list[Delay]:
    """The topics with more unread messages than `most`."""
    return [
        Delay(backlog.topic.name, f"topic {backlog.topic.name} has {backlog.unread:,} messages that were not read")
        for backlog in backlogs
        if backlog.unread > most
    ]


def of_lake(lake: LakePaths, settings: Settings) -> list[Delay]:
    """Messages that raw tables lack, and rows that steps have not taken; that no broker answers where there are raw
    tables. Reads logs and positions."""
    return [*_unread(lake, settings), *_untaken(lake)]


def overdue(
    waiting: Sequence[Delay], seen: Mapping[str, Seen], now: float, patience: float
) -> tuple[dict[str, Seen], dict[str, str]]:
    """What is seen now, to be handed in at the next look; and of the delays to tell the texts, by name: those that have
    lasted for `patience` seconds without progress, until they are told, and again every day."""
    found, due = {}, {}
    for delay in waiting:
        known = seen.get(delay.name)
        one = known if known is not None and known.position == delay.position else Seen(delay.position, now)
        if now - one.since >= patience and (one.told is None or now - one.told >= AGAIN_SECONDS):
            since = datetime.fromtimestamp(one.since, timezone.utc)
            due[delay.name] = f"{delay.text}, since {since:%Y-%m-%d %H:%M} UTC"
        found[delay.name] = one
    return found, due


def told(seen: Mapping[str, Seen], names: Iterable[str], now: float) -> dict[str, Seen]:
    """What was seen, once the delays of these names are told."""
    return {**seen, **{name: replace(seen[name], told=now) for name in names}}


def dumps(seen: Mapping[str, Seen]) -> str:
    """What was seen, as text."""
    return json.dumps({name: asdict(one) for name, one in seen.items()})


def loads(text: str | None) -> dict[str, Seen]:
    """What was seen, from the text; nothing at first."""
    return {name: Seen(**one) for name, one in json.loads(text or "{}").items()}


def _unread(lake: LakePaths, settings: Settings) -> list[Delay]:
    try:
        backlogs, _ = find_backlogs(lake, settings)
    except BROKER_ERRORS as error:
        # Where nothing was ever read of Kafka, perhaps nobody means to.
        read = any(lake.state(table) is not None for table in RAW.values())
        return [Delay("Kafka", str(error))] if read else []
    return [
        Delay(
            f"topic {backlog.topic.name}",
            f"{RAW[backlog.event].full_name} lacks {backlog.unread:,} messages, and none is being read",
            f"{sum(backlog.topic.end_offsets.values()) - backlog.unread}",
        )
        for backlog in backlogs
        if backlog.unread
    ]


def _untaken(lake: LakePaths) -> list[Delay]:
    positions = {(row["step"], row["source"]): row["version"] for row in read_records(lake, POSITIONS)}
    return [
        Delay(f"{step} {source}", f"{step} lacks rows of {source}", f"{positions.get((step, source))}")
        for source, steps in steps_behind(lake, find_tables(lake.root)).items()
        for step in steps
    ]
