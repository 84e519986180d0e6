from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from music_lakehouse.lakehouse.inventory import figures, find_tables
from music_lakehouse_tests.cli.conftest import Command


def test_tables_lists_rows_size_version_and_last_change(command: Command, lake: Path) -> None:
    write_deltalake(
        lake / "silver" / "dim_users", DeltaTable(lake / "silver" / "dim_users").to_pyarrow_table(), mode="append"
    )

    ran = command("tables")

    assert ran.code == 0
    [line] = [line.split() for line in ran.out.splitlines() if "silver.dim_users" in line]
    assert [line[0], line[1], line[4], line[5], line[-1]] == ["silver.dim_users", "6", "2", "1", "WRITE"]
    assert ran.out.index("silver.dim_users") < ran.out.index("gold.fact_streams") < ran.out.index("metrics.positions")


@pytest.mark.usefixtures("lake")
def test_declared_tables_that_are_not_there_are_named(command: Command) -> None:
    missing = command("tables").err

    assert "Not there yet: raw.listen_events" in missing
    assert "gold.wide_streams" in missing
    assert "dim_users" not in missing


@pytest.mark.usefixtures("place")
def test_of_an_empty_lake_only_what_is_missing_is_listed(command: Command) -> None:
    ran = command("tables")

    assert ran.code == 0
    assert "`music-lakehouse run` with the job" in ran.err


def test_the_figures_are_those_of_the_newest_version(lake: Path) -> None:
    uri = str(lake / "gold" / "fact_streams")
    write_deltalake(uri, DeltaTable(uri).to_pyarrow_table().slice(0, 1), mode="overwrite", partition_by=["date_part"])

    found = figures(uri)

    assert found is not None
    assert (found.rows, found.files, found.version) == (1, 1, 1)
    assert found.size == sum(file.stat().st_size for file in map(Path, DeltaTable(uri).file_uris()))
    assert figures(str(lake / "gold" / "nothing")) is None


@pytest.mark.parametrize("as_uri", [False, True])
def test_only_delta_tables_of_layers_are_found(lake: Path, as_uri: bool) -> None:
    write_deltalake(lake / "_checkpoints" / "query", pa.table({"x": [1]}))
    (lake / "gold" / "notes").mkdir()
    (lake / "_lock").write_text("{}")
    root = lake.as_uri() if as_uri else str(lake)

    assert find_tables(root) == {
        "silver.dim_users": f"{root}/silver/dim_users",
        "gold.fact_streams": f"{root}/gold/fact_streams",
        "metrics.positions": f"{root}/metrics/positions",
    }
    assert find_tables(f"{root}/nowhere") == {}
