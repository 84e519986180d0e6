from __future__ import annotations

import json
from pathlib import Path

import pytest

from music_lakehouse.simulator.customers import tpch
from music_lakehouse_tests.cli.conftest import Command

pytestmark = pytest.mark.thorough

CUSTOMERS = ("simulate", "customers", "--scale", "0.001", "--chunks", "2")


def test_customers_land_in_three_directories_and_the_table_says_what_is_odd(command: Command, place: Path) -> None:
    ran = command(*CUSTOMERS, "--dirty", "0.05", "--start", "2024-03-01")

    assert ran.code == 0
    for table in ("customer", "orders", "lineitem"):
        directory = Path("data", "landing", "customers", table)
        assert len(list((place / directory).glob("*.csv"))) == 6
        assert str(directory) in ran.out
    assert "delivered again" in ran.out
    assert "truncated" in ran.out
    assert "18 files landed from 2024-03-01 02:40 to 2024-03-03 00:00 UTC" in ran.out


def test_customers_land_again_where_landing_root_says(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_ROOT", "elsewhere")
    for _ in range(2):
        assert command(*CUSTOMERS).code == 0
    names = sorted(path.name for path in (place / "elsewhere" / "customers" / "orders").iterdir())
    assert names == [f"orders_{number:06d}.csv" for number in range(1, 7)]


@pytest.mark.usefixtures("place")
def test_a_missing_generator_is_one_line_with_the_remedy(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpch, "GENERATOR", "no-such-generator")
    ran = command(*CUSTOMERS)
    assert ran.code == 1
    assert "`pip install no-such-generator`" in ran.error


def test_a_start_before_the_last_landing_is_one_line_with_the_remedy(command: Command, place: Path) -> None:
    directory = place / "data" / "landing" / "customers" / "orders"
    directory.mkdir(parents=True)
    (directory / "orders_000001.csv").touch()
    ran = command(*CUSTOMERS, "--start", "2024-03-01")
    assert ran.code == 1
    assert "start after that" in ran.error


def test_heart_rates_land_beside_the_table_of_people(command: Command, place: Path) -> None:
    ran = command("simulate", "heart-rate", "--files", "3", "--recordings", "50", "--start", "2024-03-01")

    assert ran.code == 0
    root = place / "data" / "landing" / "heart_rate"
    files = sorted((root / "recordings").iterdir())
    assert [len(json.loads(file.read_text())) for file in files] == [50, 50, 50]
    assert len((root / "patient_info.csv").read_text().splitlines()) == 35
    assert "3 files" in ran.out
    assert files[-1].name in ran.out


@pytest.mark.usefixtures("place")
def test_the_same_start_twice_is_one_line_with_the_remedy(command: Command) -> None:
    line = ("simulate", "heart-rate", "--files", "1", "--recordings", "5", "--start", "2024-03-01")
    assert command(*line).code == 0
    ran = command(*line)
    assert ran.code == 1
    assert "start at another time" in ran.error


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("source", ["customers", "heart-rate"])
def test_help_shows_the_options_and_an_example(command: Command, source: str) -> None:
    ran = command("simulate", source, "--help")
    assert ran.code == 0
    assert f"Example: music-lakehouse simulate {source}" in ran.out
    assert "--dirty" in ran.out
    assert "--seed" in ran.out


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "line", [("customers", "--dirty", "2"), ("customers", "--chunks", "0"), ("heart-rate", "--files", "0")]
)
def test_options_that_make_no_sense_are_a_usage_error(command: Command, line: tuple[str, ...]) -> None:
    ran = command("simulate", *line)
    assert ran.code == 2
    assert line[1] in ran.error
