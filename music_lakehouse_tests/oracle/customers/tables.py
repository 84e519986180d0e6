"""All the tables that the landed files make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, time, timezone
from pathlib import Path

from music_lakehouse_tests.oracle.customers.files import DatesAdded, LandedFile, Record, landed_files, records
from music_lakehouse_tests.oracle.customers.history import Key, timelines
from music_lakehouse_tests.oracle.customers.schema import SOURCES
from music_lakehouse_tests.oracle.values import Row, Tables

QUARANTINE = "bronze.quarantine_customers"
TABLE_KEYS: dict[str, tuple[str, ...]] = {
    QUARANTINE: ("source_filename",),
    "silver.customer": ("c_custkey",),
    "silver.orders": ("o_orderkey",),
    "silver.lineitem": ("l_orderkey", "l_linenumber"),
    "gold.dim_customer": ("c_custkey", "start_date"),
    "gold.fact_sales": ("order_key", "line_number"),
}
NO_DATES: DatesAdded = {}


def tables_of(landing_root: Path, dates_added: Mapping[str, DatesAdded] | None = None) -> Tables:
    """Every silver and gold table and the quarantine by `layer.table`, from the files below `landing_root`/customers.

    `dates_added` is by table (`customer`, ...), then by file name. Files are applied in order of `date_added`, then as
    they landed.
    """
    tables: Tables = {QUARANTINE: []}
    histories: dict[str, dict[Key, list[Record]]] = {}
    for table, source in SOURCES.items():
        files, _ = landed_files(landing_root / "customers" / table, (dates_added or {}).get(table, NO_DATES))
        rows = [record for file in sorted(files, key=_date_added) for record in records(file, source)]
        tables[QUARANTINE] += [_refused(record) for record in rows if record.reasons]
        histories[table] = timelines((record for record in rows if not record.reasons), source.key)
        tables[f"silver.{table}"] = [_silver(versions[-1]) for versions in histories[table].values()]
    tables["gold.dim_customer"] = dim_customer(histories["customer"].values())
    tables["gold.fact_sales"] = fact_sales(tables)
    return tables


def version_name(custkey: int, start_date: datetime) -> str:
    """What stands for a version's `dim_customer_id`."""
    return f"{custkey} from {start_date.isoformat()}"


def dim_customer(histories: Iterable[list[Record]]) -> list[Row]:
    """A row a version of a customer."""
    rows = []
    for versions in histories:
        ends = [version.file.date_added for version in versions[1:]]
        for version, end in zip(versions, [*ends, None], strict=True):
            start = version.file.date_added
            rows.append(
                {
                    "dim_customer_id": version_name(version.row["c_custkey"], start),
                    **version.row,
                    "start_date": start,
                    "end_date": end,
                    "is_current": end is None,
                }
            )
    return rows


def fact_sales(tables: Tables) -> list[Row]:
    """A row a line item, whether its order and its customer are there or not."""
    orders = {row["o_orderkey"]: row for row in tables["silver.orders"]}
    versions: dict[int, list[Row]] = {}
    for row in tables["gold.dim_customer"]:
        versions.setdefault(row["c_custkey"], []).append(row)
    facts = []
    for line in tables["silver.lineitem"]:
        order = orders.get(line["l_orderkey"])
        facts.append(
            {
                "order_key": line["l_orderkey"],
                "line_number": line["l_linenumber"],
                "dim_customer_id": order and _version_at_order(order, versions.get(order["o_custkey"], [])),
                "order_date": order and order["o_orderdate"],
                "ship_date": line["l_shipdate"],
                "return_flag": line["l_returnflag"],
                "line_status": line["l_linestatus"],
                "ship_priority": order and order["o_shippriority"],
                "quantity": line["l_quantity"],
                "extended_price": line["l_extendedprice"],
                "discount": line["l_discount"],
                "tax": line["l_tax"],
                "net_revenue": line["l_extendedprice"] * (1 - line["l_discount"]),
            }
        )
    return facts


def _version_at_order(order: Row, versions: list[Row]) -> str | None:
    """The customer's version that held as the order's day began (UTC), the first one where the order is older; None
    where the customer isn't known."""
    moment = datetime.combine(order["o_orderdate"], time(), timezone.utc)
    held = None
    for version in sorted(versions, key=lambda version: version["start_date"]):
        if held is None or version["start_date"] <= moment:
            held = str(version["dim_customer_id"])
    return held


def _silver(record: Record) -> Row:
    return {**record.row, "source_filename": record.file.path.name, "date_added": record.file.date_added}


def _refused(record: Record) -> Row:
    return {"source_filename": record.file.path.name, "row": record.content, "reasons": record.reasons}


def _date_added(file: LandedFile) -> datetime:
    return file.date_added
