from __future__ import annotations

import csv
import shutil
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from music_lakehouse.simulator.customers import tpch
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.plan import Kind
from music_lakehouse.simulator.customers.simulation import Landed, land_customers
from music_lakehouse.simulator.customers.tpch import COLUMNS, Tpch, TpchError
from music_lakehouse.simulator.landing import LandingError
from music_lakehouse_tests.simulator.directories import contents

pytestmark = pytest.mark.thorough

START = datetime(2024, 3, 1, 6, tzinfo=timezone.utc)
CHUNKS = 5
Row = dict[str, str]


class Landing(NamedTuple):
    """What landed below a root, by several calls."""

    root: Path
    calls: list[list[Landed]]

    def files(self, table: str, call: int = 0) -> list[Landed]:
        return [file for file in self.calls[call] if file.path.parent.name == table]


def rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def config(seed: int, dirty: float = 0) -> CustomersConfig:
    return CustomersConfig(scale=0.002, chunks=CHUNKS, seed=seed, start=START, dirty=dirty)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Landing:
    """A clean landing."""
    print(f"seed {seed}")
    root = tmp_path_factory.mktemp("landing")
    return Landing(root, [land_customers(root, config(seed))])


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Landing:
    """A dirty landing and, later, a clean one by another seed."""
    print(f"seed {seed}")
    root = tmp_path_factory.mktemp("landing")
    first = land_customers(root, config(seed, dirty=0.2))
    return Landing(root, [first, land_customers(root, CustomersConfig(scale=0.001, chunks=3, seed=seed + 1))])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Tpch:
    """TPC-H as the generator makes it."""
    return Tpch(tmp_path_factory.mktemp("tpch") / "whole", scale=0.002, parts=1)


def customer_deliveries(landing: Landing) -> dict[str, list[tuple[datetime, Row]]]:
    """What was delivered of each customer, and when, chunks that came again left out."""
    deliveries = defaultdict(list)
    for file in landing.files("customer"):
        if file.kind is Kind.WHOLE:
            for row in rows(file.path):
                deliveries[row["c_custkey"]].append((file.modified, row))
    return deliveries


def test_the_same_seed_and_start_give_the_same_files_and_another_seed_others(
    clean: Landing, seed: int, tmp_path: Path
) -> None:
    for name, other in (("same", seed), ("other", seed + 1)):
        land_customers(tmp_path / name, config(other))
    expected, same, other_files = (contents(root) for root in (clean.root, tmp_path / "same", tmp_path / "other"))
    assert same == expected
    assert other_files != expected
    times = [{file.name: file.stat().st_mtime_ns for file in root.rglob("*.csv")} for root in (clean.root, tmp_path)]
    assert times[0].items() <= times[1].items()


def test_files_have_tpc_hs_columns_and_nothing_else_lies_about(clean: Landing) -> None:
    assert {path.name for path in clean.root.iterdir()} == {"customers"}
    assert {path.name for path in (clean.root / "customers").iterdir()} == set(COLUMNS)
    for table, columns in COLUMNS.items():
        assert len(clean.files(table)) == CHUNKS + 1
        for file in clean.files(table):
            assert file.path.read_text().splitlines()[0] == ",".join(columns)


def test_files_land_one_after_another_in_the_days_from_the_start_on(clean: Landing) -> None:
    times = [file.path.stat().st_mtime_ns for file in clean.calls[0]]
    assert times == sorted(set(times))
    assert all(time % 1_000_000 == 0 for time in times)
    assert clean.calls[0][0].modified > START
    assert clean.calls[0][-1].modified == START + timedelta(days=CHUNKS)
    for table in COLUMNS:
        names = [file.path.name for file in clean.files(table)]
        assert names == [f"{table}_{number:06d}.csv" for number in range(1, CHUNKS + 2)]


def test_all_of_tpc_h_lands_and_amounts_and_keys_are_its_own(clean: Landing, original: Tpch) -> None:
    landed = {
        table: {
            (row[COLUMNS[table][0]], row.get("l_linenumber")): row for f in clean.files(table) for row in rows(f.path)
        }
        for table in COLUMNS
    }
    sales = list(original.sales(1))
    assert landed["customer"].keys() == {(customer.c_custkey, None) for customer in original.customers(1)}
    assert len(landed["orders"]) == len(sales) == 3000
    assert len(landed["lineitem"]) == sum(len(sale.lines) for sale in sales)
    for order, lines in sales:
        assert landed["orders"][order.o_orderkey, None]["o_custkey"] == order.o_custkey
        for line in lines:
            assert line.l_orderkey == order.o_orderkey
            row = landed["lineitem"][line.l_orderkey, line.l_linenumber]
            for column in ("l_quantity", "l_extendedprice", "l_discount", "l_tax"):
                assert row[column] == getattr(line, column)


def test_customers_change_between_chunks_and_some_come_again_as_they_were(clean: Landing) -> None:
    changed, same = set[str](), set[str]()
    for key, deliveries in customer_deliveries(clean).items():
        for (before, row), (after, then) in pairwise(deliveries):
            if before < after:
                (changed if row != then else same).add(key)
    print(f"{len(changed)} customers changed, {len(same)} came again")
    assert len(changed) > 20
    assert len(same) > 5


def test_customers_come_twice_in_one_chunk(clean: Landing) -> None:
    twice = Counter[str]()
    for deliveries in customer_deliveries(clean).values():
        for (before, row), (after, then) in pairwise(deliveries):
            if before == after:
                twice["same" if row == then else "changed"] += 1
    print(twice)
    assert twice["same"] >= 2
    assert twice["changed"] >= 2


def test_a_chunk_of_each_table_lands_twice_under_two_names(clean: Landing) -> None:
    for table in COLUMNS:
        copies = defaultdict(list)
        for file in clean.files(table):
            copies[file.path.read_bytes()].append(file)
        [(first, again)] = [files for files in copies.values() if len(files) > 1]
        assert (first.kind, again.kind) == (Kind.WHOLE, Kind.AGAIN)
        assert first.modified < again.modified


def test_line_items_land_before_their_orders_and_orders_before_their_customers(clean: Landing) -> None:
    landed: dict[str, dict[str, datetime]] = {table: {} for table in COLUMNS}
    for table, columns in COLUMNS.items():
        for file in clean.files(table):
            for row in rows(file.path):
                landed[table].setdefault(row[columns[0]], file.modified)
    early_lines = [key for key, time in landed["lineitem"].items() if time < landed["orders"][key]]
    customers = {row["o_orderkey"]: row["o_custkey"] for f in clean.files("orders") for row in rows(f.path)}
    early_orders = [key for key, time in landed["orders"].items() if time < landed["customer"][customers[key]]]
    assert 0 < len(early_lines) < len(landed["orders"])
    assert 0 < len(early_orders) < len(landed["orders"])


def test_orders_are_dated_in_each_version_of_customers_who_changed(clean: Landing) -> None:
    dates = defaultdict(list)
    for file in clean.files("orders"):
        for row in rows(file.path):
            dates[row["o_custkey"]].append(datetime.fromisoformat(row["o_orderdate"]).replace(tzinfo=timezone.utc))
    first_version = between = last_version = 0
    for key, deliveries in customer_deliveries(clean).items():
        changes = [time for (time, row), (_, before) in zip(deliveries[1:], deliveries, strict=False) if row != before]
        if changes:
            first_version += sum(day < changes[0] for day in dates[key])
            between += sum(changes[0] <= day < changes[-1] for day in dates[key])
            last_version += sum(changes[-1] <= day for day in dates[key])
    print(f"orders before the first change {first_version}, between changes {between}, after the last {last_version}")
    assert first_version > 100
    assert last_version > 5


def test_orders_keep_tpc_hs_dates_but_for_one_in_ten_with_its_lines(clean: Landing, original: Tpch) -> None:
    first: dict[str, str] = {}
    for file in reversed(clean.files("orders")):
        first |= {row["o_orderkey"]: row["o_orderdate"] for row in rows(file.path)}
    shipped: dict[tuple[str, str], str] = {}
    for file in reversed(clean.files("lineitem")):
        shipped |= {(row["l_orderkey"], row["l_linenumber"]): row["l_shipdate"] for row in rows(file.path)}
    recent = 0
    for order, lines in original.sales(1):
        moved = date.fromisoformat(first[order.o_orderkey]) - date.fromisoformat(order.o_orderdate)
        # A correction moves an order by one day, without its lines.
        if moved > timedelta(days=1):
            recent += 1
            assert date(2024, 3, 1) <= date.fromisoformat(first[order.o_orderkey]) <= date(2024, 3, 8)
        for line in lines:
            day = date.fromisoformat(shipped[line.l_orderkey, line.l_linenumber])
            assert abs(day - date.fromisoformat(line.l_shipdate) - moved) <= timedelta(days=1)
    assert 220 < recent < 380


def test_later_chunks_correct_orders_and_lines(clean: Landing) -> None:
    for table, key in (("orders", ("o_orderkey",)), ("lineitem", ("l_orderkey", "l_linenumber"))):
        versions = defaultdict(set)
        for file in clean.files(table):
            for row in rows(file.path):
                versions[tuple(row[column] for column in key)].add(tuple(row.values()))
        assert sum(len(found) > 1 for found in versions.values()) > 5


def test_called_again_it_lands_later_with_new_keys_and_changes_of_old_customers(dirty: Landing) -> None:
    assert dirty.calls[1][0].modified > dirty.calls[0][-1].modified
    assert dirty.calls[1][-1].modified <= datetime.now(timezone.utc)
    assert len({file.path for call in dirty.calls for file in call}) == sum(map(len, dirty.calls))
    known, keys = set(), {"customer": Counter[bool](), "orders": Counter[bool]()}
    for table, counter in keys.items():
        column = COLUMNS[table][0]
        before = {row[column] for file in dirty.files(table) for row in rows(file.path)}
        counter.update(row[column] in before for file in dirty.files(table, 1) for row in rows(file.path))
        known |= before if table == "customer" else set()
    orders_of = Counter(row["o_custkey"] in known for file in dirty.files("orders", 1) for row in rows(file.path))
    assert keys["customer"][True] > 5
    assert keys["customer"][False] >= 150
    assert keys["orders"][True] == 0
    assert 200 < orders_of[True] < orders_of.total() - 200


def test_called_again_earlier_files_stay_as_they_are(clean: Landing, seed: int, tmp_path: Path) -> None:
    root = tmp_path / "landing"
    shutil.copytree(clean.root, root)
    land_customers(root, CustomersConfig(scale=0.001, chunks=1, seed=seed, start=START + timedelta(days=CHUNKS)))
    assert contents(clean.root).items() < contents(root).items()
    with pytest.raises(LandingError, match="start after that"):
        land_customers(root, config(seed))


def test_dirty_landings_have_every_faulty_file(dirty: Landing) -> None:
    for table, columns in COLUMNS.items():
        files = {file.kind: file for file in dirty.files(table)}
        assert files.keys() == set(Kind)
        headers = {kind: next(csv.reader(file.path.read_text().splitlines()[:1]), []) for kind, file in files.items()}
        assert headers[Kind.EMPTY] == []
        assert headers[Kind.REORDERED] != list(columns)
        assert sorted(headers[Kind.REORDERED]) == sorted(columns)
        assert len(headers[Kind.SHORT_OF_A_COLUMN]) == len(columns) - 1
        cut = files[Kind.TRUNCATED].path.read_bytes()
        assert any(
            f.path.read_bytes().startswith(cut)
            for f in dirty.files(table)
            if f.modified > files[Kind.TRUNCATED].modified
        )


def test_dirty_landings_have_faulty_rows_of_each_kind(dirty: Landing) -> None:
    for table, columns in COLUMNS.items():
        seen = Counter[str]()
        for file in dirty.files(table):
            if file.kind is not Kind.WHOLE:
                continue
            for row in rows(file.path):
                values = [row[column] for column in columns]
                if None in row or None in values:
                    seen["too many fields" if None in row else "too few fields"] += 1
                    continue
                seen["missing key"] += values[0] == ""
                seen["bad key"] += bool(values[0]) and not values[0].isdigit()
                seen["quotes"] += '"' in values[-1]
                seen["newlines"] += "\r\n\n" in values[-1]
                seen["bad date"] += any(not row[name][:2].isdigit() for name in columns if name.endswith("date"))
                seen["bad number"] += any("n/a" in value or "12,50" in value for value in values[1:])
        absent = {fault for fault in seen if not seen[fault]}
        assert len(seen) == 8
        assert absent == ({"bad date"} if table == "customer" else set())


def test_clean_landings_have_whole_rows_only(clean: Landing) -> None:
    for table, columns in COLUMNS.items():
        for file in clean.files(table):
            assert file.kind in (Kind.WHOLE, Kind.AGAIN)
            with file.path.open(newline="") as lines:
                assert {len(row) for row in csv.reader(lines)} == {len(columns)}


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        land_customers(tmp_path, CustomersConfig(scale=0.002, chunks=4, start=START, dirty=0.02))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    landed = sum(file.stat().st_size for file in tmp_path.rglob("*.csv"))
    print(f"{peak / 1e6:.1f} MB for {landed / 1e6:.1f} MB of files")
    assert peak < landed / 2


@pytest.mark.parametrize(
    ("generator", "said"), [("no-such-generator", "no-such-generator is not installed"), ("false", "exit code 1")]
)
def test_a_generator_that_is_missing_or_fails_is_named(
    generator: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tpch, "GENERATOR", generator)
    with pytest.raises(TpchError, match=said):
        land_customers(tmp_path, CustomersConfig(scale=0.001))
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("wrong", [{"scale": 0.0001}, {"chunks": 0}, {"chunks": 201}, {"dirty": 1.5}])
def test_values_that_make_no_sense_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*: give a number from"):
        CustomersConfig(**wrong)  # type: ignore[arg-type]
