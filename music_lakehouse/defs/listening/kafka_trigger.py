"""When a run is due: pure decisions from what Kafka holds, what the lake holds, and how earlier runs fared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from music_lakehouse.lakehouse.kafka import Topic

# How long a run that holds no lock counts as alive: it takes the lock with its first table, and gives it back just
# before it ends.
GRACE_SECONDS = 120.0
FIRST_WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 900.0


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


@dataclass(frozen=True)
class EndedRun:
    """A run of the whole pipeline that has ended, at `ended` (epoch seconds). `lasting` where it failed by a rule, so
    that running again over the same messages changes nothing."""

    run_id: str
    succeeded: bool
    ended: float
    tags: Mapping[str, str] = field(default_factory=dict)
    lasting: bool = False


@dataclass(frozen=True)
class OpenRun:
    """A run of the pipeline that hasn't ended as far as Dagster knows."""

    run_id: str
    queued: bool = False


@dataclass(frozen=True)
class LockState:
    """Which run's lock lies in the lake, and whether its processes live."""

    run_id: str
    alive: bool


@dataclass(frozen=True)
class InProgress:
    """`busy` says why no run is due; `dead` are runs that were killed; `unlocked` is since when (epoch seconds) each
    open run was seen without the lock of a lake that nobody holds."""

    busy: str | None = None
    dead: tuple[str, ...] = ()
    unlocked: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Due:
    """One run, and why."""

    reason: str


@dataclass(frozen=True)
class NotDue:
    """No run now, and why."""

    reason: str


def look_at_open_runs(
    runs: Sequence[OpenRun], lock: LockState | None, unlocked: Mapping[str, float], now: float
) -> InProgress:
    """Which open runs are really in progress. Dagster shows a run that was killed as started for ever.

    Killed is a run whose lock outlived its processes, and one that was seen without a lock for two minutes while the
    lake was free. `unlocked` is what the last look found.
    """
    if lock is not None and lock.alive:
        return InProgress(busy=f"run {lock.run_id} holds the lake")
    dead, since, busy = [], {}, None
    for run in runs:
        if run.queued:
            busy = f"run {run.run_id} is queued"
            continue
        seen = unlocked.get(run.run_id, now)
        if (lock is not None and lock.run_id == run.run_id) or now - seen >= GRACE_SECONDS:
            dead.append(run.run_id)
        else:
            since[run.run_id] = seen
            busy = f"run {run.run_id} is starting or ending"
    return InProgress(busy, tuple(dead), since)


def offset_tags(backlogs: Sequence[Backlog]) -> dict[str, str]:
    """What the run is asked to read up to: a tag a topic."""
    return {f"kafka/{backlog.event}": backlog.offsets for backlog in backlogs}


def run_key(tags: Mapping[str, str], attempt: int) -> str:
    """The request's key: the same offsets have another one at each attempt, as Dagster uses up the key of a run that
    fails."""
    digest = hashlib.sha256(json.dumps(tags, sort_keys=True).encode()).hexdigest()[:16]
    return f"{digest} attempt {attempt}"


def decide(backlogs: Sequence[Backlog], missing: Sequence[str], ended: Sequence[EndedRun], now: float) -> Due | NotDue:
    """Whether a run is due, while none is in progress. `missing` topics don't exist yet; `ended` has the newest first.

    Due are unread or lost messages, and messages that a failed run may have left between raw and gold. After runs that
    failed, or that left the same offsets unread, the next one waits: 30 seconds, doubled each time, 15 minutes at most.
    """
    tags = offset_tags(backlogs)
    waiting = _described(backlogs)
    if not waiting:
        if not ended or ended[0].succeeded:
            return NotDue("; ".join(["no new messages", *_missing(missing)]))
        if ended[0].lasting:
            return NotDue(f"no new messages since run {ended[0].run_id}, which failed by a rule: see its checks")
        waiting = f"run {ended[0].run_id} failed and may have left messages behind raw"
    futile = len(list(takewhile(lambda run: not run.succeeded or _has(run, tags), ended)))
    if futile:
        wait = min(FIRST_WAIT_SECONDS * 2 ** (futile - 1), LONGEST_WAIT_SECONDS)
        left = ended[0].ended + wait - now
        if left > 0:
            return NotDue(f"{waiting}; attempt {futile + 1} in {left:.0f} s")
    return Due("; ".join([waiting, *_missing(missing)]))


def _described(backlogs: Sequence[Backlog]) -> str:
    unread = [f"{backlog.unread} new on {backlog.topic.name}" for backlog in backlogs if backlog.unread]
    lost = [f"messages lost on {backlog.topic.name}" for backlog in backlogs if backlog.lost]
    return ", ".join(unread + lost)


def _missing(topics: Sequence[str]) -> list[str]:
    return [f"topics that don't exist yet: {', '.join(topics)}"] if topics else []


def _has(run: EndedRun, tags: Mapping[str, str]) -> bool:
    return bool(tags) and all(run.tags.get(name) == value for name, value in tags.items())
