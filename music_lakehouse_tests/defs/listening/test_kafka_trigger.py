"""The decisions of the sensor, case by case."""

from __future__ import annotations

import pytest

from music_lakehouse.defs.listening.backlogs import Backlog
from music_lakehouse.defs.listening.kafka_trigger import decide, offset_tags
from music_lakehouse.defs.triggers import (
    GRACE_SECONDS,
    Due,
    EndedRun,
    InProgress,
    LockState,
    NotDue,
    OpenRun,
    look_at_open_runs,
    run_key,
)
from music_lakehouse.lakehouse.kafka import Topic

NOW = 1_000_000.0


def backlog(unread: int, *, end: int = 10, lost: bool = False, topic_id: str = "id1") -> Backlog:
    return Backlog("listen_events", Topic("t-listen_events", topic_id, {0: (0, end), 1: (0, 3)}), unread, lost)


def ended(outcome: str, seconds_ago: float = 0.0, *, tags: dict[str, str] | None = None) -> EndedRun:
    return EndedRun(
        "r1",
        outcome == "succeeded",
        NOW - seconds_ago,
        tags or {},
        lasting=outcome == "broke a rule",
        passing=outcome == "was killed",
    )


@pytest.mark.parametrize(
    ("unread", "lost", "runs", "due", "reason"),
    [
        pytest.param(0, False, [], False, "no new messages", id="nothing ever came"),
        pytest.param(7, False, [], True, "7 new on t-listen_events", id="first messages"),
        pytest.param(7, False, [ended("succeeded")], True, "7 new on t-listen_events", id="messages after a success"),
        pytest.param(0, False, [ended("succeeded")], False, "no new messages", id="all is read"),
        pytest.param(0, True, [ended("succeeded", 60)], True, "messages lost on t-listen", id="a topic made anew"),
        pytest.param(7, False, [ended("failed", 9)], False, "attempt 2 in 1 s", id="9 s after a failure"),
        pytest.param(7, False, [ended("failed", 10)], True, "7 new", id="10 s after a failure"),
        pytest.param(7, False, [ended("failed", 19)] * 2, False, "attempt 3 in 1 s", id="19 s after two failures"),
        pytest.param(7, False, [ended("failed", 20)] * 2, True, "7 new", id="20 s after two failures"),
        pytest.param(7, False, [ended("failed", 899)] * 8, False, "attempt 9 in 1 s", id="899 s after eight failures"),
        pytest.param(7, False, [ended("failed", 900)] * 8, True, "7 new", id="never longer than 15 minutes"),
        pytest.param(7, False, [ended("was killed", 9)], False, "attempt 2 in 1 s", id="9 s after a kill"),
        pytest.param(7, False, [ended("was killed", 29)] * 8, False, "attempt 9 in 1 s", id="29 s after eight kills"),
        pytest.param(7, False, [ended("was killed", 30)] * 8, True, "7 new", id="never longer than half a minute"),
        pytest.param(
            7, False, [ended("failed", 120), *[ended("was killed")] * 7], False, "in 780 s", id="it failed by itself"
        ),
        pytest.param(
            7, False, [ended("failed", 31), ended("succeeded"), ended("failed")], True, "7 new", id="one in a row"
        ),
        pytest.param(0, False, [ended("failed", 31)], True, "run r1 failed", id="failed behind raw"),
        pytest.param(0, False, [ended("broke a rule", 899)], False, "failed by a rule", id="899 s after a broken rule"),
        pytest.param(0, False, [ended("broke a rule", 900)], True, "failed by a rule", id="nothing waits for ever"),
        pytest.param(7, False, [ended("broke a rule", 31)], True, "7 new", id="new messages after a broken rule"),
    ],
)
def test_a_run_is_due_for_what_no_run_has_read(
    unread: int, lost: bool, runs: list[EndedRun], due: bool, reason: str
) -> None:
    decision = decide([backlog(unread, lost=lost)], [], runs, NOW)
    assert isinstance(decision, Due if due else NotDue)
    assert reason in decision.reason


def test_a_run_that_succeeded_and_left_the_same_offsets_unread_is_not_repeated_at_once() -> None:
    waiting = [backlog(7)]
    same = ended("succeeded", 5, tags=offset_tags(waiting))
    assert isinstance(decide(waiting, [], [same], NOW), NotDue)
    assert isinstance(decide(waiting, [], [same], NOW + 6), Due)
    assert isinstance(decide([backlog(8, end=11)], [], [same], NOW), Due), "other offsets"


def test_topics_that_do_not_exist_are_named() -> None:
    assert decide([], ["t-a", "t-b"], [], NOW) == NotDue("no new messages; topics that don't exist yet: t-a, t-b")
    assert decide([backlog(1)], ["t-a"], [], NOW) == Due("1 new on t-listen_events; topics that don't exist yet: t-a")


@pytest.mark.parametrize(
    ("runs", "lock", "unlocked", "busy", "dead", "seen"),
    [
        pytest.param([], None, {}, None, (), {}, id="nothing runs"),
        pytest.param([OpenRun("q", queued=True)], None, {}, "run q is queued", (), {}, id="queued"),
        pytest.param([OpenRun("a")], LockState("a", True), {}, "run a holds the lake", (), {}, id="in progress"),
        pytest.param([], LockState("x", True), {}, "run x holds the lake", (), {}, id="another job's run holds it"),
        pytest.param(
            [OpenRun("a")], LockState("x", True), {"a": NOW - 999}, "run x holds the lake", (), {}, id="a waits for x"
        ),
        pytest.param([OpenRun("a")], LockState("a", False), {}, None, ("a",), {}, id="killed with its lock"),
        pytest.param([OpenRun("a")], None, {}, "run a is starting or ending", (), {"a": NOW}, id="first seen"),
        pytest.param(
            [OpenRun("a")],
            None,
            {"a": NOW - GRACE_SECONDS + 1},
            "run a is starting or ending",
            (),
            {"a": NOW - GRACE_SECONDS + 1},
            id="still starting",
        ),
        pytest.param([OpenRun("a")], None, {"a": NOW - GRACE_SECONDS}, None, ("a",), {}, id="killed before its lock"),
        pytest.param([OpenRun("a")], LockState("b", False), {}, "run a is", (), {"a": NOW}, id="another's dead lock"),
        pytest.param(
            [OpenRun("a"), OpenRun("b")], LockState("a", False), {}, "run b is", ("a",), {"b": NOW}, id="one of two"
        ),
        pytest.param([], LockState("a", False), {"a": NOW - 999}, None, (), {}, id="a lock without a run"),
    ],
)
def test_a_run_is_in_progress_while_its_processes_live(
    runs: list[OpenRun],
    lock: LockState | None,
    unlocked: dict[str, float],
    busy: str | None,
    dead: tuple[str, ...],
    seen: dict[str, float],
) -> None:
    found = look_at_open_runs(runs, lock, unlocked, NOW)
    assert (found.busy or "").startswith(busy or "")
    assert (found.busy is None) == (busy is None)
    assert found == InProgress(found.busy, dead, seen)


def test_a_request_has_a_key_of_its_own_for_each_end_topic_and_attempt() -> None:
    requests = [(10, "id1", 0), (11, "id1", 0), (10, "id2", 0), (10, "id1", 1)]
    keys = {run_key(offset_tags([backlog(1, end=end, topic_id=id_)]), attempt) for end, id_, attempt in requests}
    assert len(keys) == len(requests)
    assert offset_tags([backlog(1)]) == {"kafka/listen_events": "id1 0:10 1:3"}
