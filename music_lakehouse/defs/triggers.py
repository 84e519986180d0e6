"""When a run of a job is due: pure decisions from what waits, and how earlier runs fared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

# How long a run that holds no lock counts as alive: it takes the lock with its first table, and gives it back just
# before it ends.
GRACE_SECONDS = 120.0
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 900.0
# What passes says nothing of what waits. Where faults follow each other, who waits longer than they do gets nowhere.
LONGEST_WAIT_WHERE_IT_PASSES_SECONDS = 30.0


@dataclass(frozen=True)
class EndedRun:
    """A run of the whole pipeline that has ended, at `ended` (epoch seconds). `lasting` where it failed by a rule, so
    that running again soon over the same messages changes nothing; `passing` where it was killed, or failed of a thing
    outside that passes."""

    run_id: str
    succeeded: bool
    ended: float
    tags: Mapping[str, str] = field(default_factory=dict)
    lasting: bool = False
    passing: bool = False


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


def run_key(tags: Mapping[str, str], attempt: int) -> str:
    """The request's key: what is asked for has another one at each attempt, as Dagster uses up the key of a run that
    fails."""
    digest = hashlib.sha256(json.dumps(tags, sort_keys=True).encode()).hexdigest()[:16]
    return f"{digest} attempt {attempt}"


def decide_run(
    waiting: str, tags: Mapping[str, str], ended: Sequence[EndedRun], now: float, *, what: str, first_layer: str
) -> Due | NotDue:
    """Whether a run is due, while none is in progress. `waiting` says what waits, empty where nothing does; `tags` is
    what the run is asked to take; `ended` has the newest first; `what` comes in, into `first_layer`.

    Due is what waits, and what a failed run may have left behind the first layer. After runs that failed, or that left
    the same waiting, the next one waits: 10 seconds, doubled each time, 15 minutes at most, half a minute where the
    last failed of what passes; 15 minutes where it failed by a rule and nothing is new.
    """
    last, new = (ended[0] if ended else None), bool(waiting)
    if not new:
        if last is None or last.succeeded:
            return NotDue(f"no new {what}")
        failed = "failed by a rule: see its checks; it" if last.lasting else "failed and"
        waiting = f"run {last.run_id} {failed} may have left {what} behind {first_layer}"
    futile = len(list(takewhile(lambda run: not run.succeeded or _has(run, tags), ended)))
    if last is not None and futile:
        longest = LONGEST_WAIT_WHERE_IT_PASSES_SECONDS if last.passing else LONGEST_WAIT_SECONDS
        wait = longest if last.lasting and not new else min(FIRST_WAIT_SECONDS * 2 ** (futile - 1), longest)
        left = last.ended + wait - now
        if left > 0:
            return NotDue(f"{waiting}; attempt {futile + 1} in {left:.0f} s")
    return Due(waiting)


def _has(run: EndedRun, tags: Mapping[str, str]) -> bool:
    return bool(tags) and all(run.tags.get(name) == value for name, value in tags.items())
