"""What has to hold over the dimension of any lake, each as a function that names what breaks it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from music_lakehouse_tests.oracle.customers.schema import SOURCES
from music_lakehouse_tests.oracle.values import Row

BUSINESS = tuple(SOURCES["customer"].columns)


def versions_are_whole(dim_customer: list[Row]) -> list[str]:
    """A customer's versions have a length, neither overlap nor leave a gap, neighbours differ, exactly the last one is
    current and open; every version has a number of its own."""
    ids = Counter(row["dim_customer_id"] for row in dim_customer)
    broken = [f"dim_customer_id {number} stands for {count} versions" for number, count in ids.items() if count > 1]
    versions: dict[int, list[Row]] = {}
    for row in sorted(dim_customer, key=lambda row: row["start_date"]):
        versions.setdefault(row["c_custkey"], []).append(row)
    for custkey, rows in versions.items():
        for row, following in pairwise(rows):
            if row["start_date"] == following["start_date"]:
                broken.append(f"customer {custkey} has a version without length at {row['start_date']}")
            if row["end_date"] != following["start_date"]:
                broken.append(f"customer {custkey} has a gap or an overlap before {following['start_date']}")
            if all(row[column] == following[column] for column in BUSINESS):
                broken.append(f"customer {custkey} changes nothing at {following['start_date']}")
        if [row["is_current"] for row in rows] != [False] * (len(rows) - 1) + [True]:
            broken.append(f"customer {custkey} lacks exactly one current version, the last")
        if rows[-1]["end_date"] is not None:
            broken.append(f"the last version of customer {custkey} has an end")
    return broken


def ids_are_kept(before: list[Row], after: list[Row]) -> list[str]:
    """Between two states of the dimension: a version that was there and is there has its `dim_customer_id`, and no
    number goes to another version, also where its own is gone."""
    names_before, names_after = ({row["dim_customer_id"]: _version(row) for row in rows} for rows in (before, after))
    numbers_after = {version: number for number, version in names_after.items()}
    broken = []
    for number, version in names_before.items():
        if numbers_after.get(version, number) != number:
            broken.append(f"{version} had the dim_customer_id {number}, now {numbers_after[version]}")
        if names_after.get(number, version) != version:
            broken.append(f"dim_customer_id {number} was {version}, now {names_after[number]}")
    return broken


def _version(row: Row) -> str:
    return f"customer {row['c_custkey']} from {row['start_date']}"
