from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest

from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse_tests.oracle.customers.laws import versions_are_whole
from music_lakehouse_tests.oracle.customers.tables import QUARANTINE, tables_of
from music_lakehouse_tests.oracle.values import Tables

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Tables:
    """What a dirty landing and a later, clean one make."""
    print(f"seed {seed}")
    root, start = tmp_path_factory.mktemp("landing"), datetime(2024, 3, 1)
    land_customers(root, CustomersConfig(scale=0.004, chunks=8, seed=seed, start=start, dirty=0.05))
    later = start + timedelta(days=30)
    land_customers(root, CustomersConfig(scale=0.001, chunks=3, seed=seed, start=later))
    return tables_of(root)


def test_a_simulated_history_is_whole_and_has_customers_of_several_versions(tables: Tables) -> None:
    assert versions_are_whole(tables["gold.dim_customer"]) == []
    lengths = Counter(Counter(row["c_custkey"] for row in tables["gold.dim_customer"]).values())
    print(lengths)
    assert lengths[2] > 20
    assert max(lengths) > 2


def test_simulated_facts_are_of_first_middle_and_last_versions_and_some_wait(tables: Tables) -> None:
    first = {}
    for row in sorted(tables["gold.dim_customer"], key=lambda row: row["start_date"], reverse=True):
        first[row["c_custkey"]] = row["dim_customer_id"]
    place = {
        row["dim_customer_id"]: (row["dim_customer_id"] == first[row["c_custkey"]], row["is_current"])
        for row in tables["gold.dim_customer"]
    }
    facts = tables["gold.fact_sales"]
    assert len(facts) == len(tables["silver.lineitem"])
    seen = Counter(place.get(row["dim_customer_id"]) for row in facts)
    print(seen)
    assert seen[True, False] > seen[False, True] > seen[False, False] > 0
    assert seen[True, True] > 1000
    assert seen[None] > sum(row["order_date"] is None for row in facts) > 0


def test_simulated_faults_are_refused_for_every_reason(tables: Tables) -> None:
    reasons = {reason for row in tables[QUARANTINE] for reason in row["reasons"]}
    kinds = {"malformed", "c_mktsegment_missing", "o_shippriority_missing", "l_tax_missing", "o_orderdate_unfit"}
    for table, key in (("customer", "c_custkey"), ("orders", "o_orderkey"), ("lineitem", "l_orderkey")):
        assert any(row["source_filename"].startswith(table) for row in tables[QUARANTINE])
        kinds |= {f"{key}_missing"}
    assert kinds <= reasons
