"""A run over landed files or a database that is killed with -9 is made good by the next one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from music_lakehouse_tests.chaos.lab import CatalogueLab, CustomersLab, HeartRateLab, SourceLab, kill_at
from music_lakehouse_tests.chaos.runner import Fault

pytestmark = [pytest.mark.chaos, pytest.mark.spark]


@dataclass(frozen=True)
class Kills:
    """Where runs of a pipeline are killed in a first load, and in an increment, in the order in which a run comes
    there."""

    lab: type[SourceLab]
    everywhere: tuple[Fault, ...]
    again: tuple[Fault, ...]


AT_TWO_POINTS = (
    Fault("record_files", "before", "bronze.orders_raw"),
    Fault("append", "at_commit", "gold.dim_customer"),
)
CUSTOMERS = Kills(
    CustomersLab,
    everywhere=(
        Fault("create", "after", "bronze.lineitem_raw"),
        Fault("append", "at_commit", "bronze.customer_raw", victim="python"),
        Fault("record_files", "before", "bronze.orders_raw"),
        Fault("record_files", "after", "bronze.lineitem_raw", victim="jvm"),
        Fault("append", "before", "bronze.quarantine_customers", in_order=True),
        Fault("append", "after", "silver.orders"),
        Fault("record_positions", "before", "silver.lineitem", victim="python"),
        Fault("append", "at_commit", "gold.dim_customer"),
        Fault("append", "before", "gold.fact_sales", victim="python"),
        Fault("record_positions", "before", "gold.fact_sales"),
    ),
    again=(
        Fault("append", "at_commit", "bronze.lineitem_raw"),
        Fault("merge", "before", "silver.customer"),
        Fault("record_positions", "before", "silver.customer"),
        Fault("merge", "at_commit", "gold.dim_customer", victim="python"),
        Fault("append", "during", "gold.fact_sales", milliseconds=50),
        Fault("record_positions", "before", "gold.fact_sales"),
    ),
)
CATALOGUE = Kills(
    CatalogueLab,
    everywhere=(
        Fault("land", "after", "landing.DimUser", victim="python"),
        Fault("land", "before", "landing.FactStream"),
        Fault("append", "at_commit", "bronze.catalogue_streams"),
        Fault("record_files", "before", "bronze.catalogue_tracks", victim="python"),
        Fault("append", "after", "silver.catalogue_users", victim="jvm"),
        Fault("record_positions", "before", "silver.catalogue_streams"),
        Fault("append", "at_commit", "gold.catalogue_dim_user"),
        Fault("append", "before", "gold.catalogue_fact_stream"),
        Fault("record_positions", "before", "gold.catalogue_fact_stream"),
    ),
    again=(
        Fault("land", "after", "landing.FactStream"),
        Fault("record_files", "before", "bronze.catalogue_streams"),
        Fault("merge", "at_commit", "silver.catalogue_users"),
        Fault("merge", "before", "gold.catalogue_dim_user", victim="python"),
        Fault("record_positions", "before", "gold.catalogue_fact_stream"),
    ),
)
HEART_RATE = Kills(
    HeartRateLab,
    everywhere=(
        Fault("append", "at_commit", "bronze.heart_rate", victim="python"),
        Fault("record_files", "after", "bronze.heart_rate", call=2),
        Fault("record_reference", "before", "bronze.dim_patients"),
        Fault("append", "before", "bronze.quarantine_heart_rate"),
        Fault("append", "at_commit", "silver.heart_rate"),
        Fault("record_positions", "before", "silver.heart_rate", victim="python"),
        Fault("append", "after", "gold.heart_rate_hourly", victim="jvm"),
        Fault("rewrite", "after", "gold.heart_rate_by_patient"),
    ),
    again=(
        Fault("append", "at_commit", "bronze.heart_rate", call=2),
        Fault("append", "after", "silver.heart_rate"),
        # Of the person who has a name from now on.
        Fault("merge", "at_commit", "silver.heart_rate"),
        Fault("record_positions", "before", "gold.heart_rate_hourly"),
        Fault("rewrite", "before", "gold.heart_rate_by_patient", victim="python"),
        Fault("record_positions", "before", "gold.heart_rate_by_patient"),
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_two_points_the_tables_are_those_of_the_oracle(tmp_path: Path, seed: int) -> None:
    lab = CustomersLab(tmp_path)
    try:
        lab.fill(seed)
        _killed_at(lab, AT_TWO_POINTS)
    finally:
        lab.end_runs()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [CUSTOMERS, CATALOGUE, HEART_RATE], ids=lambda kills: kills.lab.job_name)
def test_killed_at_every_point_the_tables_are_those_of_the_oracle(kills: Kills, tmp_path: Path, seed: int) -> None:
    lab = kills.lab(tmp_path)
    try:
        lab.fill(seed)
        _killed_at(lab, kills.everywhere)
        lab.fill(seed, more=True)
        _killed_at(lab, kills.again)
    finally:
        lab.end_runs()


def _killed_at(lab: SourceLab, faults: tuple[Fault, ...]) -> None:
    """Kill a run at each of the points; what the one after them makes are the oracle's tables."""
    for fault in faults:
        kill_at(lab, fault)
    assert lab.run().success
    lab.compare()
