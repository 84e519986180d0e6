from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from music_lakehouse.lakehouse import steps
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.lake import LARGE_CHANGE, MOST_ROWS_OF_A_SMALL_CHANGE, SMALL_CHANGE, Lake
from music_lakehouse.lakehouse.positions import begin_anew, read_positions
from music_lakehouse.lakehouse.steps import Step, do_work, find_work, in_stages, run_step
from music_lakehouse.lakehouse.upsert import Written, make_equal
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, content, items, seen_by_readers, version

SONGS, USERS, FACTS, WIDE = (replace(ITEMS, name=name) for name in ("songs", "users", "facts", "wide"))


def _nothing(_lake: Lake, _changes: Changes) -> Written:
    return Written()


def _counted(_lake: Lake, changes: Changes) -> Written:
    return Written(inserted=changes.count or 0)


def test_steps_of_one_stage_need_nothing_of_each_other() -> None:
    songs, users = Step(SONGS, (ITEMS,), _nothing), Step(USERS, (ITEMS,), _nothing)
    facts = Step(FACTS, (ITEMS, USERS), _nothing, after=(SONGS,))
    wide = Step(WIDE, (FACTS, SONGS), _nothing)
    assert in_stages([songs, users, facts, wide]) == [[songs, users], [facts], [wide]]
    assert in_stages([]) == []


@pytest.mark.spark
def test_how_many_rows_changed_is_read_off_the_log_whoever_wrote_them(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step(replace(ITEMS, name="copy"), (ITEMS,), _nothing)

    def expected() -> int | None:
        return find_work(lake, step).changes.count

    assert expected() == 0, "no source yet"
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", MONDAY, 2.0)), ITEMS)
    assert expected() == 2, "all rows of a source that is new"
    run_step(lake, step)
    assert expected() == 0
    lake.append(items(lake.spark, (3, "a", MONDAY, 3.0)), ITEMS)
    assert find_work(lake, step).rows == 1
    reader = replace(step, reads_all=True)
    assert find_work(lake, reader).rows == 1
    monkeypatch.setattr(steps, "MOST_ROWS_READ_AT_ONCE", 2)
    assert find_work(lake, reader).rows is None, "it reads more than can be taken for few"
    make_equal(lake, ITEMS, items(lake.spark, (1, "a", MONDAY, 1.5), (4, "a", MONDAY, 4.0)))
    assert expected() == 3, "one by Spark, two through delta-rs"
    lake.spark.sql(f"DELETE FROM delta.`{lake.path(ITEMS)}` WHERE id = 4")
    assert expected() is None, "a commit of a kind that nobody here writes"


@pytest.mark.spark
def test_a_change_without_rows_is_taken_without_asking_the_step(lake: Lake) -> None:
    asked: list[str] = []

    def update(_lake: Lake, changes: Changes) -> Written:
        asked.append(str(changes.count))
        return Written()

    step = Step(replace(ITEMS, name="copy"), (ITEMS,), update)
    lake.create(ITEMS)
    for number in (1, 2):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    run_step(lake, step)
    table = lake.open(ITEMS)
    assert table is not None
    assert table.optimize.compact()["numFilesRemoved"] == 2
    assert run_step(lake, step).changes, "the compaction is a version of its own"
    assert asked == ["2"]
    assert read_positions(lake, "silver.copy")[ITEMS.full_name].version == version(lake)


@pytest.mark.spark
def test_many_changes_are_taken_in_pieces_and_a_step_that_dies_between_them_goes_on_there(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MOST_ROWS_A_PIECE", 2)
    taken: list[int | None] = []

    def update(lake: Lake, changes: Changes) -> Written:
        if changes.count == 1:
            raise OSError("killed")
        taken.append(changes.count)
        return _counted(lake, changes)

    step = Step(replace(ITEMS, name="copy"), (ITEMS,), update)
    lake.create(ITEMS)
    run_step(lake, step)
    for number in range(5):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    with pytest.raises(OSError, match="killed"):
        run_step(lake, step)
    assert taken == [0, 2, 2]
    assert find_work(lake, step).rows == 1
    lake.append(items(lake.spark, (6, "a", MONDAY, 1.0)), ITEMS)
    report = run_step(lake, step)
    assert (report.pieces, report.written.inserted) == (1, 2)
    assert not find_work(lake, step)


@pytest.mark.spark
@pytest.mark.parametrize("how", ["reads_all", "takes_all_at_once"])
def test_a_step_that_does_the_same_for_a_part_as_for_all_takes_all_at_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(steps, "MOST_ROWS_A_PIECE", 2)
    step = replace(Step(replace(ITEMS, name="copy"), (ITEMS,), _counted), **{how: True})  # type: ignore[arg-type]
    lake.create(ITEMS)
    run_step(lake, step)
    for number in range(5):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    report = run_step(lake, step)
    assert (report.pieces, report.written.inserted) == (1, 5)


@pytest.mark.spark
def test_the_session_is_set_by_how_many_rows_are_expected(lake: Lake) -> None:
    def set_as(settings: Mapping[str, str | None]) -> bool:
        return all(lake.spark.conf.get(name, None) == value for name, value in settings.items())

    for rows, small in ((MOST_ROWS_OF_A_SMALL_CHANGE, True), (MOST_ROWS_OF_A_SMALL_CHANGE + 1, False), (None, False)):
        lake.expect(rows)
        assert lake.small == small
        assert set_as(SMALL_CHANGE if small else LARGE_CHANGE)
    chosen = Lake(lake.root, lake.spark, {"spark.sql.shuffle.partitions": "77"})
    chosen.expect(None)
    assert set_as({**LARGE_CHANGE, "spark.sql.shuffle.partitions": "77"})
    chosen.expect(0)
    assert set_as(SMALL_CHANGE)


@pytest.mark.spark
@pytest.mark.parametrize("small", [True, False])
def test_a_step_that_begins_anew_writes_over_whatever_its_table_holds(lake: Lake, small: bool) -> None:
    copy = replace(ITEMS, name="copy")

    def update(lake: Lake, changes: Changes) -> Written:
        assert lake.read(copy).count() == 0 or not changes.anew
        desired = lake.read(ITEMS) if changes.full else changes.by_source[ITEMS].inserted
        return make_equal(lake, copy, desired, current=lake.read(copy).where("id > 0"))

    step = Step(copy, (ITEMS,), update)
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", MONDAY, 2.0)), ITEMS)
    run_step(lake, step)
    lake.append(items(lake.spark, (9, "by hand", MONDAY, 9.0)), copy)
    for file in lake.present(copy).file_uris():
        Path(file).write_bytes(b"damaged")
    begin_anew(lake, copy.full_name)
    before = version(lake, copy)

    work = find_work(lake, step)
    lake.expect(work.rows if small else None)
    report = do_work(lake, work)

    assert content(lake, copy) == content(lake)
    assert seen_by_readers(lake, before, copy) == [3, 2], "one version, and none without rows"
    assert (report.written.inserted, report.written.deleted) == (2, 3)
    assert not run_step(lake, step).written
    assert not find_work(lake, step).changes.anew
