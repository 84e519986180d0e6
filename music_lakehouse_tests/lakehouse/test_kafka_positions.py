from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.kafka import Topic
from music_lakehouse.lakehouse.kafka_positions import (
    MessagesLostError,
    accept_losses,
    check_nothing_lost,
    count_unreadable,
    epoch,
    find_losses,
    read_up_to,
    record_read_up_to,
    record_rows,
    starting_offsets,
)
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.repair import restore
from music_lakehouse_tests.defs.listening.small_lakes import write

TABLE = RAW["listen_events"]


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    return LakePaths(str(tmp_path))


def topic(first: int = 0, end: int = 10, topic_id: str = "id-1") -> Topic:
    """The topic with the same offsets in both partitions."""
    return Topic("listens", topic_id, {0: (first, end), 1: (first, end)})


def append(lake: LakePaths, *offsets: tuple[int, int], topic_id: str = "id-1") -> None:
    rows = [
        {"kafka_topic": "listens", "kafka_topic_id": topic_id, "kafka_partition": p, "kafka_offset": o}
        for p, o in offsets
    ]
    write(lake, TABLE, rows, mode="append")


def gaps(lake: LakePaths, now: Topic) -> list[tuple[object, ...]]:
    keys = ("kafka_topic_id", "kafka_partition", "from_offset", "to_offset")
    return [tuple(loss[key] for key in keys) for loss in find_losses(lake, TABLE, now)]


def test_a_topic_that_was_never_read_starts_at_its_first_message(lake: LakePaths) -> None:
    assert read_up_to(lake, TABLE, topic()) == {}
    assert starting_offsets(lake, TABLE, topic(3)) == {0: 3, 1: 3}
    assert gaps(lake, topic(3)) == []


def test_reading_goes_on_behind_the_rows_or_the_record_whichever_is_further(lake: LakePaths) -> None:
    append(lake, (0, 0), (0, 1), (1, 0))
    assert read_up_to(lake, TABLE, topic()) == {0: 2, 1: 1}
    record_read_up_to(lake, TABLE, topic(), {0: 5, 1: 1})
    assert read_up_to(lake, TABLE, topic()) == {0: 5, 1: 1}
    append(lake, (0, 5), (1, 4))
    assert read_up_to(lake, TABLE, topic()) == {0: 6, 1: 5}
    assert starting_offsets(lake, TABLE, topic()) == {0: 6, 1: 5}
    record_rows(lake, TABLE, topic())
    assert read_up_to(lake, TABLE, topic()) == {0: 6, 1: 5}


def test_a_raw_table_made_anew_has_read_nothing(lake: LakePaths, tmp_path: Path) -> None:
    append(lake, (0, 0))
    record_read_up_to(lake, TABLE, topic(), {0: 1, 1: 0})
    (tmp_path / "raw").rename(tmp_path / "old")
    append(lake, (1, 3))
    assert read_up_to(lake, TABLE, topic()) == {1: 4}


def test_messages_that_expired_before_they_were_read_are_a_loss_until_it_is_accepted(lake: LakePaths) -> None:
    append(lake, (0, 0), (1, 0))
    record_read_up_to(lake, TABLE, topic(), {0: 5, 1: 9})
    assert gaps(lake, topic(5)) == []
    assert gaps(lake, topic(7)) == [("id-1", 0, 5, 7)]
    with pytest.raises(MessagesLostError, match=r"topic listens .*partition 0: offsets 5 to 7 of topic id id-1"):
        check_nothing_lost(lake, TABLE, topic(7))
    assert epoch(lake, topic(7)) == 0
    assert len(accept_losses(lake, TABLE, topic(7))) == 1
    check_nothing_lost(lake, TABLE, topic(7))
    assert epoch(lake, topic(7)) == 1
    assert starting_offsets(lake, TABLE, topic(7)) == {0: 7, 1: 9}
    assert gaps(lake, topic(8)) == [("id-1", 0, 7, 8)]


def test_what_a_raw_table_would_lack_is_known_before_it_is_put_back(lake: LakePaths) -> None:
    append(lake, (0, 0), (1, 0), (1, 1), topic_id="id-0")
    append(lake, (0, 0), (0, 1))
    append(lake, *((partition, offset) for partition in (0, 1) for offset in range(2, 10)))
    append(lake, (1, 2), topic_id="id-0")
    accept_losses(lake, TABLE, topic(end=10))
    now = Topic("listens", "id-1", {0: (4, 10), 1: (2, 10)})

    assert gaps(lake, now) == []
    assert count_unreadable(lake, TABLE, now, 0) == 4 + 1, "of the former topic one"
    assert count_unreadable(lake, TABLE, now, 1) == 2 + 1
    assert count_unreadable(lake, TABLE, topic(2), 1) == 1
    assert count_unreadable(lake, TABLE, now, 3) == 0
    told = find_losses(lake, TABLE, now, version=1)
    restore(lake, TABLE, 1)
    assert told == find_losses(lake, TABLE, now)
    assert [(loss["kafka_topic_id"], loss["from_offset"], loss["to_offset"]) for loss in told] == [
        ("id-0", 2, None),
        ("id-1", 2, 4),
        ("id-1", 0, 2),
    ]


def test_a_topic_that_is_shorter_than_what_was_read_is_a_loss(lake: LakePaths) -> None:
    append(lake, (0, 0))
    record_read_up_to(lake, TABLE, topic(), {0: 10, 1: 4})
    assert gaps(lake, topic(end=6)) == [("id-1", 0, 10, 6)]


def test_a_topic_that_was_cut_short_is_not_accepted_as_its_offsets_would_come_twice(lake: LakePaths) -> None:
    append(lake, (0, 0))
    record_read_up_to(lake, TABLE, topic(), {0: 10, 1: 4})
    with pytest.raises(MessagesLostError, match=r"ends at 6, before what was read of it.*delete topic listens"):
        check_nothing_lost(lake, TABLE, topic(end=6))
    with pytest.raises(MessagesLostError, match=r"ends at 6, before what was read of it.*delete topic listens"):
        accept_losses(lake, TABLE, topic(end=6))
    assert gaps(lake, topic(end=6)) == [("id-1", 0, 10, 6)], "nothing was recorded"
    anew = topic(end=2, topic_id="id-2")
    accept_losses(lake, TABLE, anew)
    check_nothing_lost(lake, TABLE, anew)


@pytest.mark.parametrize("end", [2, 10, 50], ids=["shorter", "as long", "longer"])
def test_a_topic_made_anew_is_a_loss_however_long_it_is(lake: LakePaths, end: int) -> None:
    append(lake, (0, 0))
    record_read_up_to(lake, TABLE, topic(), {0: 10, 1: 4})
    anew = topic(end=end, topic_id="id-2")
    assert gaps(lake, anew) == [("id-1", 0, 10, None), ("id-1", 1, 4, None)]
    with pytest.raises(MessagesLostError, match="made anew with id id-2"):
        check_nothing_lost(lake, TABLE, anew)
    accept_losses(lake, TABLE, anew)
    assert gaps(lake, anew) == []
    assert starting_offsets(lake, TABLE, anew) == {0: 0, 1: 0}
    append(lake, (0, 0), (0, 1), topic_id="id-2")
    record_read_up_to(lake, TABLE, anew, {0: 2, 1: 0})
    assert read_up_to(lake, TABLE, anew) == {0: 2, 1: 0}
    assert gaps(lake, anew) == []


def test_a_partition_that_was_added_is_read_from_its_start(lake: LakePaths) -> None:
    append(lake, (0, 0))
    record_read_up_to(lake, TABLE, Topic("listens", "id-1", {0: (0, 1)}), {0: 1})
    assert starting_offsets(lake, TABLE, topic()) == {0: 1, 1: 0}
    assert gaps(lake, topic(0)) == []
    assert gaps(lake, Topic("listens", "id-1", {0: (0, 1), 1: (4, 9)})) == [("id-1", 1, 0, 4)]
