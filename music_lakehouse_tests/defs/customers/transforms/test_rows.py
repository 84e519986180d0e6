from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import CUSTOMER, LINEITEM, ORDERS, LandedTable
from music_lakehouse.defs.customers.tables import BRONZE
from music_lakehouse.defs.customers.transforms.rows import judged, refused, valid
from music_lakehouse.lakehouse.coercion import coerced
from music_lakehouse_tests.oracle.coercion import UnfitValueError
from music_lakehouse_tests.oracle.customers.schema import LONG, day, money

pytestmark = pytest.mark.spark

GOOD = {
    CUSTOMER: ["1", "Anna", "Street", "3", "13-1", "1.50", "BUILDING", ""],
    ORDERS: ["1", "2", "O", "10.00", "1996-01-02", "1-URGENT", "Clerk", "0", "quiet"],
    LINEITEM: [
        *("1", "2", "3", "4", "5.00", "10.00", "0.05", "0.02", "N", "O"),
        *("1996-03-01", "1996-03-02", "1996-03-03", "NONE", "RAIL", "quiet"),
    ],
}
NUMBERS = ("1", " 7 ", "+3", "-4.0", "1e3", "5.", ".5", "1.5", "1_0", "0x1", "1f", "NaN", "٣", "9223372036854775807")
AMOUNTS = ("0.10", "0.100", "-5", "1e2", "0.001", "1e13", "9999999999999.99", "12,50", "-", ".", "1e-2", "1.")
DAYS = ("1996-01-02", " 1996-01-02 ", "1996-1-2", "19960102", "1996-02-30", "02.01.1996", "1996-01-02T00:00")


def row(landed: LandedTable, **values: str | None) -> tuple[Any, ...]:
    """A row of bronze, of which some values are others."""
    good = dict(zip(landed.column_names, GOOD[landed], strict=True))
    known = {**good, "source_filename": "a.csv", "row_number": 1, **values}
    return tuple(known.get(name) for name in BRONZE[landed].column_names)


def reasons(spark: SparkSession, landed: LandedTable, **values: str | None) -> list[str]:
    rows = judged(spark.createDataFrame([row(landed, **values)], BRONZE[landed].ddl), landed)
    found = refused(rows).collect()
    assert len(found) + valid(rows, landed).count() == 1, "a row is either valid or refused"
    return list(found[0]["reasons"]) if found else []


@pytest.mark.parametrize("landed", GOOD, ids=lambda landed: landed.name)
def test_a_row_is_typed(spark: SparkSession, landed: LandedTable) -> None:
    (found,) = valid(judged(spark.createDataFrame([row(landed)], BRONZE[landed].ddl), landed), landed).collect()
    for name, text in zip(landed.column_names, GOOD[landed], strict=True):
        assert str(found[name]) == (text or "None"), name


def test_a_row_is_refused_for_all_that_is_missing_or_does_not_fit(spark: SparkSession) -> None:
    assert reasons(spark, CUSTOMER) == []
    assert reasons(spark, CUSTOMER, c_name="", c_nationkey="") == [], "these may be empty"
    assert reasons(spark, CUSTOMER, c_custkey="") == ["c_custkey_missing"]
    assert reasons(spark, CUSTOMER, c_custkey="  ", c_acctbal="n/a") == ["c_custkey_unfit", "c_acctbal_unfit"]
    assert reasons(spark, CUSTOMER, c_name=None, c_custkey=None) == ["c_custkey_missing", "c_name_missing"]
    assert reasons(spark, ORDERS, o_orderdate="1996-13-45", o_custkey="") == ["o_custkey_missing", "o_orderdate_unfit"]


def test_of_a_line_without_columns_nothing_is_said_of_these(spark: SparkSession) -> None:
    nothing = dict.fromkeys(CUSTOMER.column_names)
    assert reasons(spark, CUSTOMER, **nothing, _rescued_data='1,"cut') == ["malformed"]


def test_a_refused_row_is_kept_as_text(spark: SparkSession) -> None:
    rows = [row(CUSTOMER, c_custkey="x"), row(CUSTOMER, _rescued_data="1,2", **dict.fromkeys(CUSTOMER.column_names))]
    found = refused(judged(spark.createDataFrame(rows, BRONZE[CUSTOMER].ddl), CUSTOMER))
    texts = [each["row"] for each in found.collect()]
    assert texts[0].startswith('{"c_custkey":"x","c_name":"Anna"')
    assert texts[1] == "1,2"


def test_the_hash_tells_rows_apart_that_only_look_alike(spark: SparkSession) -> None:
    rows = [
        row(CUSTOMER, c_name="a|b", c_address="c"),
        row(CUSTOMER, c_name="a", c_address="b|c"),
        row(CUSTOMER, c_name="", c_address="a"),
        row(CUSTOMER, c_name="a", c_address=""),
        row(CUSTOMER, c_name="a", c_address="", c_acctbal=" 1.5 "),
    ]
    typed = valid(judged(spark.createDataFrame(rows, BRONZE[CUSTOMER].ddl), CUSTOMER), CUSTOMER)
    hashes = [found["hash_value"] for found in typed.collect()]
    assert len(set(hashes)) == 4
    assert hashes[3] == hashes[4], "the same values"


def test_text_becomes_what_the_oracle_makes_of_it(spark: SparkSession) -> None:
    for type_name, texts, coerce in (("BIGINT", NUMBERS, LONG), ("DECIMAL(15,2)", AMOUNTS, money), ("DATE", DAYS, day)):
        rows = spark.createDataFrame([(text,) for text in texts], "value STRING")
        found = rows.select("value", F.expr(coerced("value", type_name)).alias("is")).collect()
        assert {each["value"]: each["is"] for each in found} == {text: _by_the_oracle(coerce, text) for text in texts}


def test_of_a_type_that_is_not_known_it_is_said() -> None:
    with pytest.raises(ValueError, match="column c is BINARY"):
        coerced("c", "BINARY")


def _by_the_oracle(coerce: Any, text: str) -> Any:
    try:
        return coerce(text)
    except UnfitValueError:
        return None
