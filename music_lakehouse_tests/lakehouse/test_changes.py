from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from music_lakehouse.lakehouse import changes
from music_lakehouse.lakehouse.changes import Change, Changes, find_changes, record_positions
from music_lakehouse.lakehouse.lake import CHANGE_TYPE, Lake
from music_lakehouse.lakehouse.positions import begin_anew, forget_positions, read_positions
from music_lakehouse.lakehouse.steps import Step, run_step
from music_lakehouse.lakehouse.upsert import Written, make_equal
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, content, items, version

pytestmark = pytest.mark.spark

STEP = "silver.copy"


def seen(lake: Lake) -> Changes:
    return find_changes(lake, STEP, [ITEMS])


def rows(change: Change | None) -> set[tuple[object, ...]]:
    assert change is not None
    return {tuple(row) for row in change.rows.select("id", "price", CHANGE_TYPE).collect()}


def test_a_step_sees_what_came_after_its_position(lake: Lake) -> None:
    assert not seen(lake), "no source, no changes"
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), ITEMS)
    lake.spark.sql(f"ALTER TABLE delta.`{lake.path(ITEMS)}` SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    first = seen(lake)
    assert first.full
    assert rows(first.get(ITEMS)) == {(1, 1.0, "insert")}
    record_positions(lake, first)
    assert not seen(lake)

    make_equal(lake, ITEMS, items(lake.spark, (1, "a", MONDAY, 1.5), (2, "a", MONDAY, 2.0)))
    second = seen(lake)
    change = second.get(ITEMS)
    assert change is not None
    assert not second.full
    assert rows(change) == {
        (1, 1.0, "update_preimage"),
        (1, 1.5, "update_postimage"),
        (2, 2.0, "insert"),
    }
    assert [row.id for row in change.inserted.collect()] == [2]
    assert change.inserted.columns == ITEMS.column_names
    assert not change.append_only
    assert rows(seen(lake).get(ITEMS)) == rows(change), "as long as it isn't recorded, it is seen again"

    lake.append(items(lake.spark, (3, "a", MONDAY, 3.0)), ITEMS)
    assert (3, 3.0, "insert") not in rows(change), "changes end where they were found"
    record_positions(lake, second)
    third = seen(lake).get(ITEMS)
    assert rows(third) == {(3, 3.0, "insert")}
    assert third is not None
    assert third.append_only
    assert seen(lake).described() == {ITEMS.full_name: f"{version(lake)}..{version(lake)}"}

    make_equal(lake, ITEMS, items(lake.spark), delete=True)
    assert {kind for _, _, kind in rows(seen(lake).get(ITEMS))} == {"insert", "delete"}
    forget_positions(lake, STEP)
    assert seen(lake).full


def test_changes_are_fetched_where_they_are_few_and_short(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), ITEMS)
    lake.spark.sql(f"ALTER TABLE delta.`{lake.path(ITEMS)}` SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    record_positions(lake, seen(lake))
    lake.append(items(lake.spark, (2, "a", MONDAY, 2.0), (3, "a", MONDAY, 3.0)), ITEMS)

    def fetched() -> bool:
        change = seen(lake).get(ITEMS)
        assert rows(change) == {(2, 2.0, "insert"), (3, 3.0, "insert")}, "either way"
        assert change is not None
        return change.here is not None

    lake.expect(2)
    assert fetched()
    with monkeypatch.context() as patched:
        patched.setattr("music_lakehouse.lakehouse.changes.MOST_ROWS_FETCHED", 1)
        assert not fetched()
    with monkeypatch.context() as patched:
        patched.setattr("music_lakehouse.lakehouse.changes.MOST_BYTES_FETCHED", 1_000)
        assert not fetched(), "two files of some 1.5 kB"


def test_changes_are_taken_in_pieces_of_whole_commits_and_each_is_recorded(lake: Lake) -> None:
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), ITEMS)
    lake.spark.sql(f"ALTER TABLE delta.`{lake.path(ITEMS)}` SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    [whole] = seen(lake).in_pieces(1)
    assert whole.full
    record_positions(lake, whole)
    for new in ([2], [3], [4, 5, 6], [7]):
        lake.append(items(lake.spark, *((number, "a", MONDAY, 1.0) for number in new)), ITEMS)

    def ids(changes: Changes) -> list[str]:
        return sorted(str(row[0]) for row in rows(changes.get(ITEMS)))

    pieces = list(seen(lake).in_pieces(2))
    assert [ids(piece) for piece in pieces] == [["2", "3"], ["4", "5", "6"], ["7"]]
    assert [ids(piece) for piece in seen(lake).in_pieces(100)] == [list("234567")]
    for piece in pieces:
        assert ids(seen(lake))[0] == ids(piece)[0], "what is not recorded is seen again"
        record_positions(lake, piece)
    assert not seen(lake)

    lake.append(items(lake.spark, (8, "a", MONDAY, 1.0)), ITEMS)
    lake.append(items(lake.spark, (9, "a", MONDAY, 1.0)), ITEMS)
    begin_anew(lake, STEP)
    assert [piece.anew for piece in seen(lake).in_pieces(1)] == [True]


def test_a_piece_has_the_commits_of_all_sources_that_were_made_one_after_another(lake: Lake) -> None:
    others = replace(ITEMS, name="others")

    def unseen() -> Changes:
        return find_changes(lake, STEP, [ITEMS, others])

    for table in (ITEMS, others):
        lake.create(table)
        lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), table)
    record_positions(lake, unseen())
    for table, new in ((ITEMS, [2]), (ITEMS, [3]), (others, [4]), (ITEMS, [5]), (others, [6])):
        lake.append(items(lake.spark, *((number, "a", MONDAY, 1.0) for number in new)), table)

    def ids(piece: Changes) -> dict[str, list[str]]:
        return {source.name: sorted(str(row[0]) for row in rows(c)) for source, c in piece.by_source.items()}

    pieces = list(unseen().in_pieces(3))

    assert [ids(piece) for piece in pieces] == [
        {"items": ["2", "3"], "others": ["4"]},
        {"items": ["5"], "others": ["6"]},
    ]
    record_positions(lake, pieces[0])
    assert ids(unseen()) == ids(pieces[1]), "what is not recorded is seen again"
    one_by_one = list(unseen().in_pieces(1))
    assert [list(ids(piece)) for piece in one_by_one] == [["items"], ["others"]]
    for piece in one_by_one:
        record_positions(lake, piece)
    assert not unseen(), "what a piece records takes nothing back of those before"

    lake.append(items(lake.spark, (7, "a", MONDAY, 1.0)), ITEMS)
    lake.append(items(lake.spark, (7, "a", MONDAY, 1.0)), others)
    make_equal(lake, ITEMS, items(lake.spark, (7, "a", MONDAY, 7.0)))
    first, *_ = unseen().in_pieces(1)
    assert list(ids(first)) == ["items"]
    assert not first.only_added(ITEMS), "what was added was changed later"
    assert unseen().only_added(others)
    lake.spark.sql(f"DELETE FROM delta.`{lake.path(others)}` WHERE id = 4")
    assert len(list(unseen().in_pieces(1))) == 1, "nobody knows how many rows"


def test_a_table_made_anew_is_seen_whole(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), ITEMS)
    record_positions(lake, seen(lake))
    shutil.rmtree(lake.path(ITEMS))
    fresh = Lake(lake.root, lake.spark)
    fresh.create(ITEMS)
    fresh.append(items(lake.spark, (2, "b", MONDAY, 2.0)), ITEMS)
    assert rows(seen(fresh).get(ITEMS)) == {(2, 2.0, "insert")}
    assert seen(fresh).full


def test_a_position_ahead_of_the_table_is_none(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), ITEMS)
    found = seen(lake)
    change = found.get(ITEMS)
    assert change is not None
    ahead = replace(change, state=replace(change.state, version=change.state.version + 5))
    record_positions(lake, Changes(STEP, {ITEMS: ahead}))
    assert read_positions(lake, STEP)[ITEMS.full_name].version == change.state.version + 5
    assert seen(lake).full


def test_a_log_that_does_not_reach_back_is_seen_whole(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.create(ITEMS)
    record_positions(lake, seen(lake))
    for number in range(3):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    assert not seen(lake).full
    with monkeypatch.context() as patched:
        patched.setattr(changes, "FEED_RETENTION", timedelta(0))
        assert seen(lake).full, "the feed's files may be gone"
    lake.spark.sql(f"ALTER TABLE delta.`{lake.path(ITEMS)}` SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    lake.append(items(lake.spark, (9, "a", MONDAY, 1.0)), ITEMS)
    log = Path(lake.path(ITEMS)) / "_delta_log"
    (log / "00000000000000000001.json").unlink()
    assert seen(lake).full
    assert len(rows(seen(lake).get(ITEMS))) == 4


def test_a_step_that_fails_before_its_position_is_recorded_sees_the_same_again(lake: Lake) -> None:
    copy = replace(ITEMS, name="copy")
    told: list[str] = []

    def update(lake: Lake, found: Changes) -> Written:
        change = found.get(ITEMS)
        told.append("nothing" if change is None else "all" if change.full else "some")
        written = make_equal(lake, copy, lake.read(ITEMS), delete=True)
        if len(told) == 3:
            raise RuntimeError("killed behind the commit")
        return written

    step = Step(copy, (ITEMS,), update)
    assert run_step(lake, step).written == Written()
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0)), ITEMS)
    assert run_step(lake, step).written == Written(inserted=1)
    assert run_step(lake, step).written == Written()
    assert told == ["nothing", "all"], "with nothing new the step isn't asked"
    lake.append(items(lake.spark, (2, "a", MONDAY, 2.0)), ITEMS)
    with pytest.raises(RuntimeError, match="killed"):
        run_step(lake, step)
    assert run_step(lake, step).written == Written(), "it sees the change again, and nothing is left to do"
    assert told == ["nothing", "all", "some", "some"]
    assert content(lake, copy) == content(lake)

    shutil.rmtree(lake.path(copy))
    assert run_step(Lake(lake.root, lake.spark), step).written == Written(inserted=2)
    assert told[-1] == "all", "a table that is gone is made from everything"
