"""Sales: line items with their orders and the version of the customer that held."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def fact_sales(lines: DataFrame, orders: DataFrame, versions: DataFrame) -> DataFrame:
    """Rows of fact_sales from line items, their orders, and versions of the customers; what isn't there is null."""
    first = F.min("start_date").over(Window.partitionBy("c_custkey")) == F.col("start_date")
    held = versions.select(
        "dim_customer_id",
        "c_custkey",
        # The first version holds for all orders before it too.
        F.when(~first, F.col("start_date")).alias("since"),
        F.col("end_date").alias("until"),
    )
    ordered = orders.select(
        "o_orderkey", "o_custkey", "o_orderdate", "o_shippriority", _start_of_day("o_orderdate").alias("moment")
    )
    at_the_time = (F.col("o_custkey") == F.col("c_custkey")) & _within("moment")
    by_order = ordered.join(held, at_the_time, "left")
    return lines.join(by_order, F.col("l_orderkey") == F.col("o_orderkey"), "left").select(
        F.col("l_orderkey").alias("order_key"),
        F.col("l_linenumber").alias("line_number"),
        "dim_customer_id",
        F.col("o_orderdate").alias("order_date"),
        F.col("l_shipdate").alias("ship_date"),
        F.col("l_returnflag").alias("return_flag"),
        F.col("l_linestatus").alias("line_status"),
        F.col("o_shippriority").alias("ship_priority"),
        F.col("l_quantity").alias("quantity"),
        F.col("l_extendedprice").alias("extended_price"),
        F.col("l_discount").alias("discount"),
        F.col("l_tax").alias("tax"),
        (F.col("l_extendedprice") * (1 - F.col("l_discount"))).alias("net_revenue"),
    )


def rekeyed_stretches(changed_versions: DataFrame, versions: DataFrame) -> DataFrame:
    """Where the change feed of dim_customer says that another version may hold: c_custkey, `since` (null: always) and
    `until` (exclusive, null: for ever). `versions` are those that are there now.

    A version that came or went tells of its own time; one whose end moved does so through the neighbour that took its
    place.
    """
    first = versions.groupBy("c_custkey").agg(F.min("start_date").alias("first"))
    came_or_went = changed_versions.where("_change_type IN ('insert', 'delete')")
    is_first = F.col("first").isNull() | (F.col("start_date") <= F.col("first"))
    return came_or_went.join(first, "c_custkey", "left").select(
        "c_custkey",
        F.when(~is_first, F.col("start_date")).alias("since"),
        F.col("end_date").alias("until"),
    )


def rekeyed_orders(orders: DataFrame, stretches: DataFrame) -> DataFrame:
    """The o_orderkey of the orders that fall into the stretches of their customers, each once."""
    in_a_stretch = (F.col("o_custkey") == F.col("c_custkey")) & _within("moment")
    moments = orders.select("o_orderkey", "o_custkey", _start_of_day("o_orderdate").alias("moment"))
    return moments.join(stretches, in_a_stretch, "left_semi").select("o_orderkey")


def _start_of_day(day: str) -> Column:
    return F.col(day).cast("timestamp")


def _within(moment: str) -> Column:
    after = F.col("since").isNull() | (F.col(moment) >= F.col("since"))
    return after & (F.col("until").isNull() | (F.col(moment) < F.col("until")))
