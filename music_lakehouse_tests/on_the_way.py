"""What is on its way from Kafka to gold."""

from __future__ import annotations

from music_lakehouse.defs.listening.backlogs import BROKER_SECONDS, find_backlogs, rows_behind_gold
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.settings import Settings


def unread(lake: LakePaths, settings: Settings, *, timeout_seconds: float = BROKER_SECONDS) -> int:
    """Messages that raw lacks."""
    backlogs, _ = find_backlogs(lake, settings, timeout_seconds=timeout_seconds)
    return sum(backlog.unread for backlog in backlogs)


def on_the_way(lake: LakePaths, settings: Settings, *, timeout_seconds: float = BROKER_SECONDS) -> int:
    """These, and about how many listen events raw has and gold lacks; 0 where gold has all that the topics hold."""
    return unread(lake, settings, timeout_seconds=timeout_seconds) + rows_behind_gold(lake)
