"""When a run of the streaming pipeline is due: pure decisions from what Kafka and the lake hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from music_lakehouse.defs.listening.backlogs import Backlog
from music_lakehouse.defs.triggers import Due, EndedRun, NotDue, decide_run


def offset_tags(backlogs: Sequence[Backlog]) -> dict[str, str]:
    """What the run is asked to read up to: a tag a topic."""
    return {f"kafka/{backlog.event}": backlog.offsets for backlog in backlogs}


def decide(backlogs: Sequence[Backlog], missing: Sequence[str], ended: Sequence[EndedRun], now: float) -> Due | NotDue:
    """Whether a run is due, while none is in progress: for unread or lost messages, as `decide_run` says. `missing`
    topics don't exist yet; `ended` has the newest first."""
    tags = offset_tags(backlogs)
    decision = decide_run(_described(backlogs), tags, ended, now, what="messages", first_layer="raw")
    return replace(decision, reason="; ".join([decision.reason, *_missing(missing)]))


def _described(backlogs: Sequence[Backlog]) -> str:
    unread = [f"{backlog.unread} new on {backlog.topic.name}" for backlog in backlogs if backlog.unread]
    lost = [f"messages lost on {backlog.topic.name}" for backlog in backlogs if backlog.lost]
    return ", ".join(unread + lost)


def _missing(topics: Sequence[str]) -> list[str]:
    return [f"topics that don't exist yet: {', '.join(topics)}"] if topics else []
