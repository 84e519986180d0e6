from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse import query as query_module
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.query import (
    View,
    as_frame,
    batches,
    evaluated,
    evaluated_long,
    fetched,
    has_rows,
    keyed,
    keys_within,
    looked_up,
    query,
)
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY, items

COUNTED = "SELECT place, count(*) AS n, count(DISTINCT price) AS prices FROM {items} GROUP BY place ORDER BY place"


@pytest.mark.spark
def test_a_query_sees_the_tables_that_it_names_as_they_are_now(lake: Lake) -> None:
    assert query(lake, COUNTED, items=ITEMS).num_rows == 0, "no table yet"
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", MONDAY, 1.0), (3, None, MONDAY, None)), ITEMS)
    expected = [{"place": "a", "n": 2, "prices": 1}, {"place": None, "n": 1, "prices": 0}]
    assert query(lake, COUNTED, items=ITEMS).to_pylist() == expected
    lake.append(items(lake.spark, (4, "a", MONDAY, 2.0)), ITEMS)
    assert query(lake, COUNTED, items=ITEMS).to_pylist()[0] == {"place": "a", "n": 3, "prices": 2}


@pytest.mark.spark
def test_a_query_says_the_same_here_and_in_spark(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 0.5), (2, "b", MONDAY, 1.0), (3, None, MONDAY, 1.0)), ITEMS)
    in_spark = lake.spark.sql(COUNTED.replace("ORDER BY place", ""), items=lake.read(ITEMS)).collect()
    here = query(lake, COUNTED, items=ITEMS).to_pylist()
    assert {tuple(row) for row in in_spark} == {tuple(row.values()) for row in here}


@pytest.mark.spark
def test_a_query_sees_only_the_rows_that_fulfil_its_condition(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", TUESDAY, 1.0), (3, "b", TUESDAY, 1.0)), ITEMS)
    on_tuesday = Days.of("day", [TUESDAY]).predicate(quote="")
    assert {row["place"]: row["n"] for row in query(lake, COUNTED, where=on_tuesday, items=ITEMS).to_pylist()} == {
        "a": 1,
        "b": 1,
    }


@pytest.mark.spark
def test_a_summary_is_the_same_whoever_computes_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 0.5), (2, "b", TUESDAY, 1.0), (3, "b", TUESDAY, 2.0)), ITEMS)
    sql, on_tuesday = COUNTED.replace("ORDER BY place", ""), Days.of("day", [TUESDAY]).predicate(quote="")
    here = evaluated(lake, sql, where=on_tuesday, items=ITEMS)
    monkeypatch.setattr(query_module, "MOST_ROWS_READ_AT_ONCE", 2)
    in_spark = evaluated(lake, sql, where=on_tuesday, items=ITEMS)
    assert isinstance(here, pa.Table)
    assert isinstance(in_spark, DataFrame)
    assert here.to_pylist() == [row.asDict() for row in in_spark.collect()] == [{"place": "b", "n": 2, "prices": 2}]


@pytest.mark.spark
def test_rows_that_are_here_meet_frames_in_spark(lake: Lake) -> None:
    lake.create(ITEMS)
    sql = "SELECT i.id, n.name FROM {items} AS i JOIN {names} AS n ON i.place = n.place"
    names = pa.table({"place": ["a"], "name": ["Ann"]})
    rows = items(lake.spark, (1, "a", MONDAY, 1.0), (2, "b", MONDAY, 1.0))
    lake.append(rows, ITEMS)
    expected = [{"id": 1, "name": "Ann"}]
    here, frame = evaluated(lake, sql, items=ITEMS, names=names), evaluated(lake, sql, items=rows, names=names)
    assert isinstance(frame, DataFrame)
    assert fetched(here).to_pylist() == fetched(frame).to_pylist() == expected
    assert has_rows(here)
    assert has_rows(frame)
    assert not has_rows(names.slice(0, 0))
    with lake.replacing(ITEMS):
        assert not has_rows(evaluated(lake, sql, items=ITEMS, names=names)), "what is written anew counts as empty"


@pytest.mark.spark
def test_a_long_result_is_computed_where_it_is_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "b", MONDAY, 1.0), (3, "b", TUESDAY, 2.0)), ITEMS)
    names = pa.table({"place": ["a", "b"], "name": ["Ann", "Bob"]})

    def named() -> object:
        sql = "SELECT i.id, i.place, n.name FROM {items} AS i JOIN {names} AS n ON i.place = n.place"
        return evaluated_long(lake, sql, items=ITEMS, names=names)

    short = named()
    monkeypatch.setattr(query_module, "MOST_ROWS_MADE_HERE", 2)
    view = named()
    monkeypatch.setattr(query_module, "MOST_ROWS_READ_AT_ONCE", 2)
    frame = named()
    assert isinstance(short, pa.Table)
    assert isinstance(view, View)
    assert isinstance(frame, DataFrame)

    expected = [{"name": "Ann", "n": 1}, {"name": "Bob", "n": 2}]
    sql = "SELECT name, count(*) AS n FROM {items} GROUP BY name ORDER BY name"
    for rows in (short, view, frame, as_frame(lake, view)):
        assert fetched(evaluated(lake, sql, items=rows)).to_pylist() == expected, "of it others are made alike"
    some = evaluated(lake, sql, where="id > 1", items=view)
    assert fetched(some).to_pylist() == [{"name": "Bob", "n": 2}]

    of_view = View("SELECT * FROM {items} WHERE name = 'Bob'", "id > 2", {"items": view})
    lake.append(items(lake.spark, (4, "b", TUESDAY, 2.0)), ITEMS)
    assert sorted(query(lake, "SELECT id FROM {bobs}", bobs=of_view)["id"].to_pylist()) == [3, 4], "as tables are then"
    assert sorted(row["id"] for row in as_frame(lake, of_view).collect()) == [3, 4]
    with lake.replacing(ITEMS):
        assert fetched(evaluated(lake, "SELECT * FROM {items}", items=named())).num_rows == 0


def test_a_view_is_read_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_module, "MOST_ROWS_OF_A_BATCH", 2048)
    lake = LakePaths(str(tmp_path))
    numbers = View("SELECT id, 'x' AS place FROM {ids}", "true", {"ids": pa.table({"id": range(5000)})})
    numbers = View("SELECT id, place, DATE '2024-01-01' AS day FROM {numbers}", "true", {"numbers": numbers})

    with batches(lake, numbers, ITEMS) as reader:
        assert reader.schema.names == list(ITEMS.column_names)
        read = list(reader)

    assert max(batch.num_rows for batch in read) <= 2048
    rows = pa.Table.from_batches(read)
    assert rows["id"].to_pylist() == list(range(5000))
    assert rows["price"].null_count == 5000, "a column that it lacks is null"


@pytest.mark.spark
def test_a_query_that_names_no_such_column_is_refused(lake: Lake) -> None:
    lake.create(ITEMS)
    with pytest.raises(duckdb.Error, match="nowhere"):
        query(lake, "SELECT nowhere FROM {items}", items=ITEMS)


@pytest.mark.spark
def test_a_query_joins_the_lakes_tables_with_rows_that_are_here(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "b", MONDAY, 1.0)), ITEMS)
    found = query(
        lake, "SELECT id FROM {items} SEMI JOIN {wanted} USING (id)", items=ITEMS, wanted=pa.table({"id": [2]})
    )
    assert found.to_pylist() == [{"id": 2}]


EVERY_TYPE = Table(
    layer="gold",
    name="every_type",
    description="One row a number.",
    columns=(
        Column("number", "BIGINT", "the key"),
        Column("text", "STRING", "text"),
        Column("moment", "TIMESTAMP", "a time, UTC"),
        Column("amount", "DECIMAL(15,2)", "an amount"),
        Column("names", "ARRAY<STRING>", "names"),
        Column("day", "DATE", "a day"),
        Column("place", "STRING", "where"),
    ),
    key=("number",),
    partition_by=("day", "place"),
)
MOMENT = datetime(2026, 11, 21, 23, 59, 59, 123000, timezone.utc)


def row(number: int, place: str | None = "here") -> dict[str, object]:
    return {
        "number": number,
        "text": f"text {number}",
        "moment": MOMENT,
        "amount": None,
        "names": ["a", None],
        "day": date(2026, 11, 20 + number % 2),
        "place": place,
    }


def write(lake: LakePaths, *rows: dict[str, object]) -> DeltaTable:
    table = pa.Table.from_pylist(list(rows), schema=EVERY_TYPE.arrow_schema)
    write_deltalake(lake.path(EVERY_TYPE), table, mode="append", partition_by=list(EVERY_TYPE.partition_by))
    found = lake.open(EVERY_TYPE)
    assert found is not None
    return found


ALL = "SELECT * FROM {rows} ORDER BY number"


def test_rows_come_out_as_they_were_declared_whoever_reads_the_files(tmp_path: Path) -> None:
    here, by_uri = LakePaths(str(tmp_path)), LakePaths(tmp_path.as_uri())
    rows = [row(number) for number in range(4)]
    write(here, *rows[:2])
    found = write(here, *rows[2:])

    assert len(delta.local_files(found, here.path(EVERY_TYPE)) or []) == 4
    assert delta.local_files(found, by_uri.path(EVERY_TYPE)) is None
    assert query(here, ALL, rows=EVERY_TYPE).to_pylist() == rows
    assert query(by_uri, ALL, rows=EVERY_TYPE).to_pylist() == rows
    assert query(here, ALL, rows=EVERY_TYPE).schema == query(by_uri, ALL, rows=EVERY_TYPE).schema


@pytest.mark.parametrize("place", ["a b", "c:d/e%", "ü", None, "x=y", "[a-z]*"])
def test_values_of_partitions_that_paths_spell_otherwise_are_right(tmp_path: Path, place: str | None) -> None:
    lake = LakePaths(str(tmp_path / "Müller's lake, old"))
    write(lake, row(1), row(2, place))

    assert query(lake, ALL, rows=EVERY_TYPE).to_pylist() == [row(1), row(2, place)]


def test_rows_that_were_removed_are_not_seen(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    found = write(lake, row(1), row(2))
    found.delete("number = 1")
    assert query(lake, ALL, rows=EVERY_TYPE).to_pylist() == [row(2)]
    found.delete()
    assert query(lake, ALL, rows=EVERY_TYPE).to_pylist() == []


@pytest.mark.parametrize("wide_first", [True, False])
def test_files_may_have_more_columns_than_were_declared(tmp_path: Path, wide_first: bool) -> None:
    lake = LakePaths(str(tmp_path))
    narrow = pa.Table.from_pylist([row(1)], schema=EVERY_TYPE.arrow_schema)
    wide = pa.Table.from_pylist([row(2)], schema=EVERY_TYPE.arrow_schema)
    wide = wide.append_column("more", pa.array(["more"]))
    for rows in (wide, narrow) if wide_first else (narrow, wide):
        write_deltalake(
            lake.path(EVERY_TYPE), rows, mode="append", schema_mode="merge", partition_by=list(EVERY_TYPE.partition_by)
        )

    assert query(lake, "SELECT number, text, place, more FROM {rows} ORDER BY number", rows=EVERY_TYPE).to_pylist() == [
        {"number": number, "text": f"text {number}", "place": "here", "more": "more" if number == 2 else None}
        for number in (1, 2)
    ]


def test_a_query_takes_parameters_as_values(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    write(lake, row(1), row(2, "' OR true --"))
    named = "SELECT number FROM {rows} WHERE place = $place AND moment <= $until"

    def numbers(place: str, until: datetime) -> list[int]:
        answer = query(lake, named, parameters={"place": place, "until": until}, rows=EVERY_TYPE)
        return [found["number"] for found in answer.to_pylist()]

    assert numbers("' OR true --", MOMENT) == [2]
    assert numbers("here", MOMENT) == [1]
    assert numbers("here", MOMENT.replace(hour=0)) == []


def test_times_are_utc_wherever_the_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    lake = LakePaths(str(tmp_path))
    write(lake, row(1))

    [told] = query(
        lake, "SELECT hour(moment) AS hour, CAST(moment AS DATE) AS day FROM {rows}", rows=EVERY_TYPE
    ).to_pylist()
    assert told == {"hour": 23, "day": MOMENT.date()}


@pytest.mark.spark
@pytest.mark.parametrize("expected_rows", [10, None], ids=["few rows", "many rows"])
def test_the_rows_of_some_keys_are_found_whoever_reads_them(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, expected_rows: int | None
) -> None:
    lake.expect(expected_rows)
    keys = lake.spark.createDataFrame([(2, "a"), (3, "b"), (9, "a")], "id BIGINT, place STRING")
    within = Range("id", 2, 9)
    assert keyed(lake, ITEMS, keys, within).collect() == [], "no table yet"
    lake.create(ITEMS)
    lake.append(
        items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", TUESDAY, None), (2, "b", MONDAY, 1.0), (3, "b", None, 0.5)),
        ITEMS,
    )
    found = {(2, "a", TUESDAY, None), (3, "b", None, 0.5)}
    for rows in (keyed(lake, ITEMS, keys, within), keyed(lake, ITEMS, keys)):
        assert rows.columns == list(ITEMS.column_names)
        assert {tuple(row) for row in rows.collect()} == found
    places = lake.spark.createDataFrame([("a",)], "place STRING")
    assert {row["id"] for row in keyed(lake, ITEMS, places).collect()} == {1, 2}
    for most, is_here in ((2, True), (1, False)):
        monkeypatch.setattr("music_lakehouse.lakehouse.query.MOST_ROWS_MADE_HERE", most)
        some = keyed(lake, ITEMS, fetched(keys), within, columns=["id", "price"])
        assert isinstance(some, pa.Table) == is_here, "rows of keys that are here are here, as long as they aren't many"
        assert sorted(map(str, fetched(some).to_pylist())) == ["{'id': 2, 'price': None}", "{'id': 3, 'price': 0.5}"]
    with lake.replacing(ITEMS):
        assert keyed(lake, ITEMS, places).collect() == [], "a table that is written anew counts as empty"


@pytest.mark.spark
def test_spark_is_asked_once_for_each_text(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def in_capitals(sent: DataFrame) -> DataFrame:
        asked.append({row["text"] for row in sent.collect()})
        return sent.selectExpr("text", "upper(text) AS capitals")

    def look_up(*texts: str, in_frame: bool = False) -> set[str]:
        """The capitals of at least these texts."""
        arguments = pa.table({"text": texts})
        found = fetched(looked_up(lake, "capitals", lake.frame(arguments) if in_frame else arguments, in_capitals))
        told = {row["text"]: row["capitals"] for row in found.to_pylist()}
        assert len(told) == found.num_rows, "a text is there once"
        assert all(told[text] == text.upper() for text in texts)
        return set(told)

    assert look_up("a", "b") == {"a", "b"}
    assert look_up("b", "c", in_frame=True) == {"a", "b", "c"}
    lake.release()
    look_up("a", "c")
    assert asked == [{"a", "b"}, {"c"}], "nothing was asked for twice"

    monkeypatch.setattr("music_lakehouse.lakehouse.lake.MOST_REMEMBERED", 4)
    assert look_up("c", "d") == {"c", "d"}, "beyond that, only what is asked for now is remembered"
    monkeypatch.setattr("music_lakehouse.lakehouse.query.MOST_REMEMBERED", 1)
    assert look_up("e", "f", in_frame=True) == {"e", "f"}, "very many stay in Spark"


@pytest.mark.spark
def test_rows_that_fall_into_a_stretch_of_time_are_found_by_their_day(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(
        items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", TUESDAY, 1.0), (3, "b", MONDAY, 1.0), (4, None, None, 1.0)),
        ITEMS,
    )

    def found(*stretches: tuple[str, datetime | None, datetime | None]) -> list[int]:
        times = pa.timestamp("us", "UTC")
        schema = pa.schema({"shop": pa.string(), "since": times, "until": times})
        rows = [dict(zip(schema.names, stretch, strict=True)) for stretch in stretches]
        keys = keys_within(lake, ITEMS, pa.Table.from_pylist(rows, schema), of="place", at="day")
        assert keys.column_names == ["id", "place"]
        return sorted(keys["id"].to_pylist())

    tuesday = datetime(2024, 1, 2, tzinfo=timezone.utc)
    noon = tuesday.replace(hour=12)
    assert found() == []
    assert found(("a", None, None)) == [1, 2]
    assert found(("a", tuesday, None)) == [2]
    assert found(("a", noon, None)) == [], "a day is its first moment"
    assert found(("a", None, tuesday)) == [1], "the end is exclusive"
    assert found(("a", tuesday, noon), ("b", None, noon), ("c", None, None)) == [2, 3]
    assert found(("a", tuesday, None), ("a", tuesday, noon)) == [2], "each key once"


def test_a_process_that_asked_ends_without_a_word() -> None:
    """Also where something holds the module to the last, as threads do."""
    program = """
import ctypes
from music_lakehouse.lakehouse import query
with query.connected() as connection:
    connection.sql("SELECT 1").fetchall()
ctypes.pythonapi.Py_IncRef(ctypes.py_object(vars(query)))
ctypes.pythonapi.Py_IncRef(ctypes.py_object(query._database))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
