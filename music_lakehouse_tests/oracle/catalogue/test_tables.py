"""The oracle itself, by hand: what is landed, and the whole of what it makes of it."""

from __future__ import annotations

from pathlib import Path

from music_lakehouse_tests.oracle.catalogue.examples import artist, at, gone, load, stream, track, user
from music_lakehouse_tests.oracle.catalogue.laws import versions_are_whole
from music_lakehouse_tests.oracle.catalogue.tables import FACTS, QUARANTINE, tables_of
from music_lakehouse_tests.oracle.values import EPOCH, Row, key

DIM_USER = "gold.catalogue_dim_user"


def picked(rows: list[Row], *columns: str) -> list[tuple[object, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


def told(root: Path) -> list[tuple[object, ...]]:
    rows = tables_of(root)[DIM_USER]
    assert versions_are_whole(rows, "user") == []
    return picked(rows, "subscription_type", "start_at", "end_at", "is_current", "is_deleted")


def test_silver_has_what_landed_last_of_each_key_in_upper_case(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 0), user(2, 0, name="Zoë"))
    load(tmp_path, "DimUser", 1, user(1, 1, plan="premium"))
    load(tmp_path, "DimUser", 2, gone("user_id", 2), user(3, -9))
    rows = tables_of(tmp_path)["silver.catalogue_users"]
    assert picked(rows, "user_id", "user_name", "subscription_type", "updated_at") == [
        (1, "ANN", "premium", at(1)),
        (3, "ANN", "free", at(-9)),
    ]


def test_a_version_holds_from_its_updated_at_until_the_next_one_and_a_touch_begins_none(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 0))
    load(tmp_path, "DimUser", 2, user(1, 1))
    load(tmp_path, "DimUser", 4, user(1, 3, plan="premium"))
    assert told(tmp_path) == [("free", at(0), at(3), False, False), ("premium", at(3), None, True, False)]
    [first, _] = tables_of(tmp_path)[DIM_USER]
    assert first["user_version_key"] == key(1, round((at(0) - EPOCH).total_seconds() * 1_000_000))


def test_a_deletion_ends_a_version_when_it_was_seen_and_a_later_return_leaves_a_gap(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 1, user(1, 0))
    load(tmp_path, "DimUser", 5, gone("user_id", 1))
    assert told(tmp_path) == [("free", at(0), at(5), False, True)]
    load(tmp_path, "DimUser", 8, user(1, 7))
    assert told(tmp_path) == [("free", at(0), at(5), False, True), ("free", at(7), None, True, False)]


def test_a_return_with_an_older_time_than_the_deletion_undoes_it(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 1, user(1, 0))
    load(tmp_path, "DimUser", 5, gone("user_id", 1))
    load(tmp_path, "DimUser", 8, user(1, 3, plan="family"))
    assert told(tmp_path) == [("free", at(0), at(3), False, False), ("family", at(3), None, True, False)]


def test_a_deletion_that_is_seen_before_its_row_began_ends_it_a_microsecond_after(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 10))
    load(tmp_path, "DimUser", 1, gone("user_id", 1))
    [(_, start, end, current, deleted)] = told(tmp_path)
    assert (start, current, deleted) == (at(10), False, True)
    assert end is not None
    assert (end - start).total_seconds() == 1e-6  # type: ignore[operator]


def test_a_clock_that_went_back_takes_the_place_of_what_was_said_of_that_time_and_after(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 0))
    load(tmp_path, "DimUser", 1, user(1, 10, plan="premium"))
    load(tmp_path, "DimUser", 2, user(1, 20, plan="family"))
    load(tmp_path, "DimUser", 3, user(1, 10, plan="student"))
    assert told(tmp_path) == [("free", at(0), at(10), False, False), ("student", at(10), None, True, False)]


def test_refused_rows_are_told_with_all_their_reasons_and_change_nothing(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 0), user(None, None))
    load(tmp_path, "DimUser", 1, user(1, None, plan="premium"))
    load(tmp_path, "DimTrack", 0, track(1, 0, seconds=0))
    load(tmp_path, "FactStream", 0, stream(1, 0, seconds=None))
    tables = tables_of(tmp_path)
    assert picked(tables[QUARANTINE], "table", "row_number", "reasons") == [
        ("DimUser", 2, ["user_id_missing", "updated_at_missing"]),
        ("DimUser", 1, ["updated_at_missing"]),
        ("DimTrack", 1, ["duration_sec_not_positive"]),
        ("FactStream", 1, ["listen_duration_not_positive"]),
    ]
    assert told(tmp_path) == [("free", at(0), None, True, False)]
    assert tables[FACTS] == []


def test_a_fact_has_the_versions_that_held_the_first_ones_before_them_and_none_after_a_deletion(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 0))
    load(tmp_path, "DimUser", 1, user(1, 10, plan="premium"))
    load(tmp_path, "DimUser", 20, gone("user_id", 1))
    load(tmp_path, "DimTrack", 0, track(1, 0))
    load(tmp_path, "DimTrack", 1, track(1, 5, artist_id=2))
    load(tmp_path, "DimArtist", 0, artist(1, 0), artist(2, 0))
    streams = [stream(number, hours) for number, hours in enumerate((-1, 0, 5, 10, 20))]
    load(tmp_path, "FactStream", 0, *streams, stream(9, 0, user_id=7, track_id=7))
    tables = tables_of(tmp_path)
    plans = {row["user_version_key"]: row["subscription_type"] for row in tables[DIM_USER]} | {None: None}
    artists = {row["artist_version_key"]: row["artist_id"] for row in tables["gold.catalogue_dim_artist"]}
    found = [
        (plans[row["user_version_key"]], artists.get(row["artist_version_key"]), row["track_version_key"] is None)
        for row in tables[FACTS]
    ]
    assert found == [
        ("free", 1, False),
        ("free", 1, False),
        ("free", 2, False),
        ("premium", 2, False),
        (None, 2, False),
        (None, None, True),
    ]


def test_dimensions_that_are_broken_on_purpose_are_told(tmp_path: Path) -> None:
    load(tmp_path, "DimUser", 0, user(1, 0), user(2, 0))
    load(tmp_path, "DimUser", 1, user(1, 1, plan="premium"), gone("user_id", 2))
    rows = tables_of(tmp_path)[DIM_USER]
    assert versions_are_whole(rows, "user") == []
    first, second, deleted = rows
    for broken, said in (
        ([{**first, "end_at": at(0.5)}, second], "has a gap"),
        ([{**first, "end_at": at(2)}, second], "has an overlap"),
        ([first, {**second, "subscription_type": "free"}], "changes nothing"),
        ([first, {**second, "is_current": False}], "current and ended, or neither"),
        ([first, {**second, "start_at": at(0)}], "has an overlap"),
        ([first], "neither current nor deleted"),
        ([{**deleted, "end_at": at(-1)}], "without length"),
        ([first, second, deleted, deleted], "stands for 2 versions"),
    ):
        assert any(said in line for line in versions_are_whole(broken, "user")), said
