from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from music_lakehouse.lakehouse import query as query_module
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import query, summarized
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY, items

COUNTED = "SELECT place, count(*) AS n, count(DISTINCT price) AS prices FROM {items} GROUP BY place ORDER BY place"

pytestmark = pytest.mark.spark


def test_a_query_sees_the_tables_that_it_names_as_they_are_now(lake: Lake) -> None:
    assert query(lake, COUNTED, items=ITEMS).num_rows == 0, "no table yet"
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", MONDAY, 1.0), (3, None, MONDAY, None)), ITEMS)
    expected = [{"place": "a", "n": 2, "prices": 1}, {"place": None, "n": 1, "prices": 0}]
    assert query(lake, COUNTED, items=ITEMS).to_pylist() == expected
    lake.append(items(lake.spark, (4, "a", MONDAY, 2.0)), ITEMS)
    assert query(lake, COUNTED, items=ITEMS).to_pylist()[0] == {"place": "a", "n": 3, "prices": 2}


def test_a_query_says_the_same_here_and_in_spark(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 0.5), (2, "b", MONDAY, 1.0), (3, None, MONDAY, 1.0)), ITEMS)
    in_spark = lake.spark.sql(COUNTED.replace("ORDER BY place", ""), items=lake.read(ITEMS)).collect()
    here = query(lake, COUNTED, items=ITEMS).to_pylist()
    assert {tuple(row) for row in in_spark} == {tuple(row.values()) for row in here}


def test_a_query_sees_only_the_rows_that_fulfil_its_condition(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", TUESDAY, 1.0), (3, "b", TUESDAY, 1.0)), ITEMS)
    on_tuesday = Days.of("day", [TUESDAY]).predicate(quote="")
    assert {row["place"]: row["n"] for row in query(lake, COUNTED, where=on_tuesday, items=ITEMS).to_pylist()} == {
        "a": 1,
        "b": 1,
    }


def test_a_summary_is_the_same_whoever_computes_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 0.5), (2, "b", TUESDAY, 1.0), (3, "b", TUESDAY, 2.0)), ITEMS)
    sql, on_tuesday = COUNTED.replace("ORDER BY place", ""), Days.of("day", [TUESDAY]).predicate(quote="")
    here = summarized(lake, sql, where=on_tuesday, items=ITEMS).collect()
    monkeypatch.setattr(query_module, "MOST_ROWS_READ_AT_ONCE", 2)
    in_spark = summarized(lake, sql, where=on_tuesday, items=ITEMS).collect()
    assert [tuple(row) for row in here] == [tuple(row) for row in in_spark] == [("b", 2, 2)]


def test_a_query_that_names_no_such_column_is_refused(lake: Lake) -> None:
    lake.create(ITEMS)
    with pytest.raises(duckdb.Error, match="nowhere"):
        query(lake, "SELECT nowhere FROM {items}", items=ITEMS)


def test_a_query_joins_the_lakes_tables_with_rows_that_are_here(lake: Lake) -> None:
    lake.create(ITEMS)
    lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "b", MONDAY, 1.0)), ITEMS)
    found = query(
        lake, "SELECT id FROM {items} SEMI JOIN {wanted} USING (id)", items=ITEMS, wanted=pa.table({"id": [2]})
    )
    assert found.to_pylist() == [{"id": 2}]
