"""A run over landed files that is killed with -9 is made good by the next one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from music_lakehouse_tests.chaos.lab import START, FilesLab, kill_at
from music_lakehouse_tests.chaos.runner import Fault

pytestmark = [pytest.mark.chaos, pytest.mark.spark]

# In the order in which a run comes to them.
IN_A_FIRST_LOAD = [
    Fault("record_files", "before", "bronze.orders_raw"),
    Fault("append", "at_commit", "gold.dim_customer"),
]
# The full suite's.
EVERYWHERE_IN_A_FIRST_LOAD = [
    Fault("create", "after", "bronze.lineitem_raw"),
    Fault("append", "at_commit", "bronze.customer_raw", victim="python"),
    Fault("record_files", "before", "bronze.orders_raw"),
    Fault("record_files", "after", "bronze.lineitem_raw", victim="jvm"),
    Fault("append", "before", "bronze.quarantine_customers"),
    Fault("append", "after", "silver.orders"),
    Fault("record_positions", "before", "silver.lineitem", victim="python"),
    Fault("append", "at_commit", "gold.dim_customer"),
    Fault("append", "before", "gold.fact_sales", victim="jvm"),
    Fault("record_positions", "before", "gold.fact_sales"),
]
EVERYWHERE_IN_AN_INCREMENT = [
    Fault("append", "at_commit", "bronze.lineitem_raw"),
    Fault("merge", "before", "silver.customer"),
    Fault("record_positions", "before", "silver.customer"),
    Fault("merge", "at_commit", "gold.dim_customer", victim="python"),
    Fault("merge", "during", "gold.fact_sales", milliseconds=50),
    Fault("record_positions", "before", "gold.fact_sales", victim="jvm"),
]


@pytest.mark.timeout(900)
def test_killed_in_a_first_load_the_tables_are_those_of_the_oracle(files_lab: FilesLab, seed: int) -> None:
    files_lab.land(0.001, seed)
    for fault in IN_A_FIRST_LOAD:
        kill_at(files_lab, fault)
    assert files_lab.run().success
    files_lab.compare()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_point_the_tables_are_those_of_the_oracle(files_lab: FilesLab, seed: int) -> None:
    files_lab.land(0.001, seed)
    for fault in EVERYWHERE_IN_A_FIRST_LOAD:
        kill_at(files_lab, fault)
    assert files_lab.run().success
    files_lab.land(0.001, seed + 1, start=START + timedelta(days=30))
    for fault in EVERYWHERE_IN_AN_INCREMENT:
        kill_at(files_lab, fault)
    assert files_lab.run().success
    files_lab.compare()
