from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from music_lakehouse.lakehouse import delta, upsert
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import View, fetched
from music_lakehouse.lakehouse.upsert import OPERATION, Written, difference, make_equal, make_equal_in_order
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY, Item, content, items, seen_by_readers, version

pytestmark = pytest.mark.spark


@pytest.fixture(params=["few rows, from here", "many rows, by Spark"], autouse=True)
def how_it_is_committed(request: pytest.FixtureRequest, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> str:
    few = request.param.startswith("few")
    lake.expect(10 if few else None)
    monkeypatch.setattr(upsert, "MOST_ROWS_AT_ONCE", 10 if few else 0)
    monkeypatch.setattr(upsert, "MOST_ROWS_COMMITTED_HERE", 10 if few else 0)
    return "delta-rs" if few else "Spark"


def test_the_difference_is_by_key_and_null_safe(lake: Lake) -> None:
    desired = items(
        lake.spark,
        (1, "a", MONDAY, 1.0),  # as it is
        (2, "a", MONDAY, 2.5),  # changed
        (2, None, MONDAY, None),  # as it is, with nulls in key and value
        (3, None, MONDAY, None),  # to a null
        (None, None, MONDAY, 4.0),  # from a null
        (5, "a", MONDAY, 5.0),  # new
        (6, "a", MONDAY, -0.0),  # equal zeros
        (7, "a", MONDAY, float("nan")),  # as it is
    )
    current = items(
        lake.spark,
        (1, "a", MONDAY, 1.0),
        (2, "a", MONDAY, 2.0),
        (2, None, MONDAY, None),
        (3, None, MONDAY, 3.0),
        (None, None, MONDAY, None),
        (6, "a", MONDAY, 0.0),
        (7, "a", MONDAY, float("nan")),
        (8, None, MONDAY, 8.0),  # not desired
    )
    expected = {
        (2, "a", 2.5, "update"),
        (3, None, None, "update"),
        (None, None, 4.0, "update"),
        (5, "a", 5.0, "insert"),
    }
    for delete in (False, True):
        of_frames = difference(desired, current, ITEMS, delete=delete)
        here = difference(fetched(desired), fetched(current), ITEMS, delete=delete)
        of_both = difference(fetched(desired), current, ITEMS, delete=delete)
        assert isinstance(here, pa.Table), "rows that are here are compared here"
        for rows in (of_frames, here, of_both):
            found = fetched(rows).select(["id", "place", "price", OPERATION]).to_pylist()
            assert {tuple(row.values()) for row in found} == expected | (
                {(8, None, None, "delete")} if delete else set()
            )


def test_a_column_that_desired_rows_lack_is_null(lake: Lake) -> None:
    make_equal(lake, ITEMS, items(lake.spark, (1, "a", MONDAY, 1.0)))
    for number, desired in enumerate([items(lake.spark, (2, "a", MONDAY, 2.0)).drop("price")] * 2, start=2):
        new = desired.withColumn("id", F.lit(number))
        make_equal(lake, ITEMS, fetched(new) if number == 3 else new)
    assert content(lake) == {(1, "a", MONDAY, 1.0), (2, "a", MONDAY, None), (3, "a", MONDAY, None)}


def test_a_view_is_written_like_rows_and_only_where_it_differs(lake: Lake) -> None:
    def view(*rows: Item) -> View:
        return View("SELECT * FROM {rows}", "true", {"rows": fetched(items(lake.spark, *rows))})

    first: Item = (1, "a", MONDAY, 1.0)
    second: Item = (2, "b", MONDAY, 2.0)
    third: Item = (3, None, TUESDAY, None)
    assert make_equal(lake, ITEMS, view(first, second), delete=True) == Written(inserted=2)
    before = version(lake)
    assert make_equal(lake, ITEMS, view(second, first), delete=True) == Written()
    assert version(lake) == before, "nothing is written where nothing differs"

    changed: Item = (2, "b", MONDAY, None)
    assert make_equal(lake, ITEMS, view(changed, third), delete=True) == Written(inserted=1, updated=1, deleted=1)
    assert content(lake) == {changed, third}
    assert version(lake) == before + 1

    assert make_equal(lake, ITEMS, view(first, second)) == Written(inserted=1, updated=1), "others are left alone"
    assert content(lake) == {first, second, third}
    with lake.replacing(ITEMS):
        assert make_equal(lake, ITEMS, view(second), delete=True) == Written(inserted=1, deleted=3)
    assert content(lake) == {second}
    assert seen_by_readers(lake, before) == [2, 2, 3, 1]


def test_a_table_that_has_a_column_more_is_written_all_the_same(lake: Lake) -> None:
    lake.create(ITEMS)
    more = pa.table({"id": [1], "place": ["a"], "day": [MONDAY], "price": [1.0], "more": ["x"]})
    lake.append_few(more, ITEMS, evolve=True)
    desired = fetched(items(lake.spark, (2, "b", TUESDAY, 2.0)))
    make_equal(lake, ITEMS, desired)
    assert content(lake) == {(1, "a", MONDAY, 1.0), (2, "b", TUESDAY, 2.0)}
    before = version(lake)
    with lake.replacing(ITEMS):
        make_equal(lake, ITEMS, desired, delete=True)
    assert content(lake) == {(2, "b", TUESDAY, 2.0)}
    assert seen_by_readers(lake, before) == [2, 1], "one version, and none without rows"


def test_many_rows_that_differ_here_are_written_over_the_table(lake: Lake) -> None:
    make_equal(lake, ITEMS, items(lake.spark, *((n, "a", MONDAY, 1.0) for n in range(20))))
    desired = fetched(items(lake.spark, *((n, "a", TUESDAY, 2.0) for n in range(5, 25))))
    assert make_equal(lake, ITEMS, desired, delete=True) == Written(inserted=5, updated=15, deleted=5)
    assert content(lake) == {(n, "a", TUESDAY, 2.0) for n in range(5, 25)}


def test_a_table_becomes_what_it_should_be_by_the_difference_alone(lake: Lake) -> None:
    first = [(1, "a", MONDAY, 1.0), (2, None, MONDAY, 2.0), (3, "c", TUESDAY, None)]
    assert make_equal(lake, ITEMS, items(lake.spark, *first)) == Written(inserted=3)
    assert content(lake) == set(first)

    before = version(lake)
    assert make_equal(lake, ITEMS, items(lake.spark, *first), delete=True) == Written()
    assert not Written()
    assert version(lake) == before, "nothing differs: no new version"

    more = (4, None, TUESDAY, 4.0)
    assert make_equal(lake, ITEMS, items(lake.spark, first[0], more)) == Written(inserted=1)
    assert content(lake) == {*first, more}

    changed = [(1, "a", TUESDAY, 1.5), (2, None, MONDAY, None), (5, None, None, 5.0)]
    assert make_equal(lake, ITEMS, items(lake.spark, *changed)) == Written(inserted=1, updated=2)
    assert content(lake) == {*changed, first[2], more}
    assert version(lake) == before + 2, "one commit each"

    last = [changed[0], (2, None, MONDAY, 9.0), (6, "f", MONDAY, 6.0)]
    written = make_equal(lake, ITEMS, items(lake.spark, *last), delete=True)
    assert written == Written(inserted=1, updated=1, deleted=3)
    assert content(lake) == set(last)
    assert written + Written(inserted=1) == Written(2, 1, 3)

    assert make_equal(lake, ITEMS, items(lake.spark), delete=True) == Written(deleted=3)
    assert content(lake) == set()


def test_only_the_days_concerned_are_read_and_written(lake: Lake, how_it_is_committed: str) -> None:
    make_equal(lake, ITEMS, items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", TUESDAY, 2.0)))

    def files() -> dict[str, str]:
        table = delta.open_table(lake.path(ITEMS))
        assert table is not None
        return {uri.rpartition("day=")[2].partition("/")[0]: uri for uri in table.file_uris()}

    before, within = files(), Days.of("day", [TUESDAY])
    changed = items(lake.spark, (2, "a", TUESDAY, 2.5))
    assert make_equal(lake, ITEMS, changed, within=within, delete=True) == Written(updated=1)
    assert files()["2024-01-01"] == before["2024-01-01"]
    assert files()["2024-01-02"] != before["2024-01-02"]
    table = delta.open_table(lake.path(ITEMS))
    assert table is not None
    last = table.history(1)[0]
    assert how_it_is_committed.lower() in last["engineInfo"].lower()
    removed = "numTargetFilesRemoved" if how_it_is_committed == "Spark" else "num_target_files_removed"
    assert int(last["operationMetrics"][removed]) == 1
    assert content(lake) == {(1, "a", MONDAY, 1.0), (2, "a", TUESDAY, 2.5)}


def test_given_current_rows_the_others_are_left_alone(lake: Lake) -> None:
    make_equal(lake, ITEMS, items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", MONDAY, 2.0), (3, "a", MONDAY, 3.0)))
    current = lake.read(ITEMS).where("id >= 2")
    written = make_equal(lake, ITEMS, items(lake.spark, (2, "a", MONDAY, 2.5)), current=current, delete=True)
    assert written == Written(updated=1, deleted=1)
    assert content(lake) == {(1, "a", MONDAY, 1.0), (2, "a", MONDAY, 2.5)}


def test_a_short_table_is_kept_in_order_and_written_only_where_something_differs(lake: Lake) -> None:
    def keep(*rows: Item) -> Written:
        return make_equal_in_order(lake, ITEMS, items(lake.spark, *rows), [F.desc("price"), F.col("id")])

    def stands() -> list[int]:
        return [*lake.present(ITEMS).to_pyarrow_table()["id"].to_pylist()]

    assert keep() == Written()
    first = [(1, "a", MONDAY, 1.0), (2, "a", MONDAY, 3.0), (3, None, MONDAY, 3.0)]
    assert keep(*first) == Written(inserted=3)
    assert stands() == [2, 3, 1]
    before = version(lake)
    assert keep(*first[::-1]) == Written()
    assert version(lake) == before
    assert keep((1, "a", MONDAY, 4.0), first[2], (4, "d", MONDAY, 2.0)) == Written(inserted=1, updated=1, deleted=1)
    assert stands() == [1, 3, 4]
    assert version(lake) == before + 1
    feed = lake.read_feed(ITEMS, before + 1, before + 1).where("_change_type = 'insert'")
    assert {row["id"] for row in feed.collect()} == {1, 3, 4}
    assert keep() == Written(deleted=3)
    assert stands() == []
