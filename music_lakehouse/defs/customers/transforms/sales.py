"""Sales: line items with their orders and the version of the customer that held."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse.scd2 import holding, holds_at


def fact_sales(lines: DataFrame, orders: DataFrame, versions: DataFrame) -> DataFrame:
    """Rows of fact_sales from line items, their orders, and versions of the customers; what isn't there is null."""
    held = holding(versions, key="c_custkey", start="start_date", end="end_date")
    held = held.select("dim_customer_id", "c_custkey", "since", "until")
    ordered = orders.select(
        "o_orderkey", "o_custkey", "o_orderdate", "o_shippriority", _start_of_day("o_orderdate").alias("moment")
    )
    at_the_time = (F.col("o_custkey") == F.col("c_custkey")) & holds_at("moment")
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


def _start_of_day(day: str) -> Column:
    return F.col(day).cast("timestamp")
