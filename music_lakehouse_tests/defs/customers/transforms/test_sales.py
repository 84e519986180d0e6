from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.defs.customers.landed import LINEITEM, ORDERS
from music_lakehouse.defs.customers.tables import DIM_CUSTOMER, SILVER
from music_lakehouse.defs.customers.transforms.sales import fact_sales
from music_lakehouse.lakehouse.tables import Table

pytestmark = pytest.mark.spark


def frame(spark: SparkSession, table: Table, *rows: dict[str, Any], more: str = "") -> DataFrame:
    """Rows of the table, of which only some columns are given."""
    names = [*table.column_names, *([more.split()[0]] if more else [])]
    schema = f"{table.ddl}, {more}" if more else table.ddl
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], schema)


def version(number: int, start: datetime, end: datetime | None = None, **more: Any) -> dict[str, Any]:
    return {"dim_customer_id": number, "c_custkey": 7, "start_date": start, "end_date": end, **more}


def order(key: int, day: date, customer: int = 7) -> dict[str, Any]:
    return {"o_orderkey": key, "o_custkey": customer, "o_orderdate": day, "o_shippriority": 0}


def item(order_key: int, price: str = "100.00", discount: str = "0.05") -> dict[str, Any]:
    amounts = {"l_extendedprice": Decimal(price), "l_discount": Decimal(discount)}
    return {"l_orderkey": order_key, "l_linenumber": 1, **amounts}


MARCH_2, MARCH_4 = datetime(2024, 3, 2, 12), datetime(2024, 3, 4)
VERSIONS = (version(1, MARCH_2, MARCH_4), version(2, MARCH_4))


def test_a_fact_has_the_version_that_held_as_the_day_began_or_the_first_one(spark: SparkSession) -> None:
    days = (date(1996, 1, 2), date(2024, 3, 2), date(2024, 3, 3), date(2024, 3, 4), date(2024, 3, 5))
    facts = fact_sales(
        frame(spark, SILVER[LINEITEM], *(item(key) for key in range(5))),
        frame(spark, SILVER[ORDERS], *(order(key, day) for key, day in enumerate(days))),
        frame(spark, DIM_CUSTOMER, *VERSIONS),
    ).collect()
    assert sorted((fact["order_key"], fact["dim_customer_id"]) for fact in facts) == [
        (0, 1),
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
    ]


def test_what_has_not_landed_is_null_and_no_item_is_lost(spark: SparkSession) -> None:
    facts = fact_sales(
        frame(spark, SILVER[LINEITEM], item(1), item(2)),
        frame(spark, SILVER[ORDERS], order(1, date(1996, 1, 2), customer=8), order(3, date(1996, 1, 2))),
        frame(spark, DIM_CUSTOMER, *VERSIONS),
    ).collect()
    found = {fact["order_key"]: (fact["order_date"], fact["dim_customer_id"]) for fact in facts}
    assert found == {1: (date(1996, 1, 2), None), 2: (None, None)}


def test_net_revenue_is_exact(spark: SparkSession) -> None:
    facts = fact_sales(
        frame(spark, SILVER[LINEITEM], item(1, "9999999999999.99", "0.33"), item(2, "0.07", "0.07")),
        frame(spark, SILVER[ORDERS]),
        frame(spark, DIM_CUSTOMER),
    ).collect()
    assert {fact["order_key"]: str(fact["net_revenue"]) for fact in facts} == {1: "6699999999999.9933", 2: "0.0651"}
