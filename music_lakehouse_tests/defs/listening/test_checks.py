from __future__ import annotations

import copy
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.checks import Check, Outcome, evaluate
from music_lakehouse.lakehouse.kafka_positions import ACCEPTED_LOSS, record_erased
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.defs.broken_tables import (
    Damage,
    assert_passes_where_there_is_nothing,
    change,
    double_a_row,
    double_one_and_lose_another,
    lose_the_key,
    read_by,
    rows_of,
)
from music_lakehouse_tests.defs.listening.raw_rows import write_raw
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write, write_all
from music_lakehouse_tests.oracle.values import Tables

pytestmark = pytest.mark.thorough

ALL = [(table, check) for table, checks in CHECKS.items() for check in checks]
NAMES = [f"{table.full_name}-{check.name}" for table, check in ALL]


def double_an_event(tables: Tables, table: Table) -> None:
    rows_of(tables, table).append({**rows_of(tables, table)[0], "bronze_id": "another"})


def lose_from_quarantine_or_bronze(tables: Tables, table: Table) -> None:
    tables["bronze.quarantine"].clear()
    tables["bronze.listen_events"].clear()
    tables["bronze.page_view_events"].pop()
    tables["bronze.status_change_events"].clear()


def leave_a_gap(tables: Tables, table: Table) -> None:
    rows_of(tables, table).append({**rows_of(tables, table)[-1], "kafka_offset": 99})


def end_early(tables: Tables, table: Table) -> None:
    rows_of(tables, table)[0]["row_expiration_date"] -= timedelta(milliseconds=1)


def repeat_a_version(tables: Tables, table: Table) -> None:
    for row in rows_of(tables, table):
        row["level"] = "free"


def lose_dimension_rows(tables: Tables, table: Table) -> None:
    del table
    tables["silver.dim_songs"].clear()


def lose_a_stream(tables: Tables, table: Table) -> None:
    rows_of(tables, table).pop(0)


def swap_levels(tables: Tables, table: Table) -> None:
    del table
    for row in tables["silver.dim_users"]:
        row["level"] = {"free": "paid", "paid": "free"}[row["level"]]


def lose_a_fact(tables: Tables, table: Table) -> None:
    del table
    tables["gold.fact_streams"].pop()


def exchange_the_current_row(tables: Tables, table: Table) -> None:
    first, second = rows_of(tables, table)[:2]
    assert (first["userId"], first["current_row"], second["current_row"]) == (second["userId"], 0, 1)
    first["current_row"], second["current_row"] = 1, 0


def know_from_events_only(tables: Tables, table: Table) -> None:
    known = [row for row in rows_of(tables, table) if "unknown" not in row.values()]
    tables[table.full_name] = [{**row, "songId": None, "artistId": None} for row in known]


def contradict_the_first(tables: Tables, table: Table) -> None:
    del table
    first = tables["bronze.listen_events"][0]
    contrary = {"level": "paid", "bronze_id": "x", "event_id": "x"}
    tables["bronze.listen_events"].append({**first, **contrary})


def lose_a_day(tables: Tables, table: Table) -> None:
    last = max(row["date_part"] for row in rows_of(tables, table))
    tables[table.full_name] = [row for row in rows_of(tables, table) if row["date_part"] != last]


def lose_all(tables: Tables, table: Table) -> None:
    rows_of(tables, table).clear()


def have_had_more(tables: Tables, table: Table) -> None:
    now = datetime.now(timezone.utc)
    run = {"table": table.full_name, "rule": "volume_usual", "rows": 1000, "failed": 0, "evaluated_at": now}
    tables["metrics.expectations"] = [run] * 3


EXAMPLES: dict[str, Damage] = {
    "volume_usual": have_had_more,
    "no_offset_twice": double_a_row,
    "offsets_continuous": leave_a_gap,
    "looks_like_json": change(value='{"cut": off'),
    "raw_is_bronze_and_quarantine": lose_from_quarantine_or_bronze,
    "nothing_rescued": change(_rescued_data="{}"),
    "delivered_once": double_an_event,
    "newest_event_is_recent": lambda tables, table: None,
    "has_a_reason": change(reasons=[]),
    "key_not_null": lose_the_key,
    "key_unique": double_a_row,
    "one_current_row": change(current_row=1),
    "current_is_open": exchange_the_current_row,
    "no_gap_no_overlap": end_early,
    "neighbours_differ": repeat_a_version,
    "duration_plausible": change(duration=0.5),
    "known_to_reference": know_from_events_only,
    "person_known": change(gender="Unknown"),
    "place_plausible": change(latitude=90.5, longitude=0.0),
    "state_known": change(stateName="NA"),
    "whole_hours": change(date=datetime(2024, 1, 1, 0, 30, tzinfo=timezone.utc)),
    "seen_in_order": change(last_seen=datetime(2000, 1, 1, tzinfo=timezone.utc)),
    "figures_plausible": change(songs=99),
    "keys_resolve": lose_dimension_rows,
    "all_streams_of_bronze": lose_a_stream,
    "level_of_the_time": swap_levels,
    "level_unambiguous": contradict_the_first,
    "place_known": change(locationKey="unknown"),
    "row_for_row": lose_a_fact,
    "joined": change(songName=None),
    "sum_is_facts": change(total_streams=9),
}
"""By check, how a sound lake is broken so that the check must fail."""

SEEN_BY_THE_AUDIT: list[tuple[str, str, Damage]] = [
    ("bronze.listen_events", "raw_is_bronze_and_quarantine", double_one_and_lose_another),
    ("gold.fact_streams", "all_streams_of_bronze", lose_a_day),
    ("gold.fact_streams", "all_streams_of_bronze", lose_all),
    ("gold.fact_streams", "all_streams_of_bronze", double_one_and_lose_another),
    ("gold.wide_streams", "row_for_row", double_one_and_lose_another),
]
"""Table, check, and what a run that counts the rows of what it touched need not see."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[LakePaths, Tables]:
    """A lake in which every check passes, but for the age of its newest event."""
    directory = tmp_path_factory.mktemp("sound")
    tables = sound_tables(directory)
    lake = LakePaths(str(directory / "lake"))
    write_all(lake, tables)
    return lake, tables


def check_of(table: Table, name: str) -> Check:
    (found,) = (check for check in CHECKS[table] if check.name == name)
    return found


def outcome(lake: LakePaths, table: Table, check: Check, since: int | None) -> Outcome:
    (found,) = evaluate(lake, table, [check], since=since, find_table=find_table)
    return found


def test_every_check_has_an_example_that_breaks_it() -> None:
    assert {check.name for _, check in ALL} == EXAMPLES.keys()
    assert set(CHECKS) <= set(TABLES.values())


@pytest.mark.parametrize("table", CHECKS, ids=lambda table: table.full_name)
def test_all_checks_pass_on_a_sound_table(sound: tuple[LakePaths, Tables], table: Table) -> None:
    lake, _ = sound
    for since in (-1, None):
        outcomes = evaluate(lake, table, CHECKS[table], since=since, find_table=find_table)
        broken = [found for found in outcomes if not found.passed and found.check.name != "newest_event_is_recent"]
        assert broken == []
        assert [found.check.name for found in outcomes if not found.rows] == []


@pytest.mark.parametrize(("table", "check"), ALL, ids=NAMES)
def test_a_check_fails_on_a_table_that_was_broken(
    sound: tuple[LakePaths, Tables], tmp_path: Path, table: Table, check: Check
) -> None:
    _, tables = sound
    lake, broken = LakePaths(str(tmp_path)), copy.deepcopy(tables)
    EXAMPLES[check.name](broken, table)
    for name in read_by(table, check):
        write(lake, find_table(name), tables.get(name, []))
        write(lake, find_table(name), broken.get(name, []))
    for since in (0, None):
        (found,) = evaluate(lake, table, [check], since=since, find_table=find_table)
        assert not found.passed, f"since {since}: {found}"


@pytest.mark.parametrize(("name", "law", "damage"), SEEN_BY_THE_AUDIT)
def test_the_audit_compares_keys(
    sound: tuple[LakePaths, Tables], tmp_path: Path, name: str, law: str, damage: Damage
) -> None:
    table, lake, broken = TABLES[name], LakePaths(str(tmp_path)), copy.deepcopy(sound[1])
    damage(broken, table)
    write_all(lake, broken)
    found = outcome(lake, table, check_of(table, law), since=None)
    assert not found.passed, found
    assert found.figures["missing"] >= 1


@pytest.mark.parametrize("table", CHECKS, ids=lambda table: table.full_name)
def test_all_checks_pass_where_there_is_nothing(tmp_path: Path, table: Table) -> None:
    assert_passes_where_there_is_nothing(tmp_path, table)


def test_the_newest_event_may_be_a_day_old(sound: tuple[LakePaths, Tables], tmp_path: Path) -> None:
    table = TABLES["bronze.listen_events"]
    check = check_of(table, "newest_event_is_recent")
    first, now = sound[1][table.full_name][0], datetime.now(timezone.utc)
    for hours, passes in ((23, True), (25, False)):
        write(LakePaths(str(tmp_path)), table, [first, {**first, "timestamp": now - timedelta(hours=hours)}])
        (found,) = evaluate(LakePaths(str(tmp_path)), table, [check], since=None, find_table=find_table)
        assert found.passed == passes, hours


@pytest.mark.parametrize("name", ["silver.dim_songs", "silver.dim_artists"])
def test_how_many_are_in_the_reference_is_asked_of_all_as_hardly_another_comes_later(
    sound: tuple[LakePaths, Tables], tmp_path: Path, name: str
) -> None:
    table, lake = TABLES[name], LakePaths(str(tmp_path))
    (known, *_), (key,) = [row for row in sound[1][name] if "unknown" not in row.values()], table.key
    write(lake, table, [{**known, "songId": "S", "artistId": "A", key: str(number)} for number in range(3)])
    write(lake, table, [{**known, "songId": None, "artistId": None, key: "another"}], mode="append")
    found = outcome(lake, table, check_of(table, "known_to_reference"), since=0)
    assert (found.rows, found.failed, found.passed) == (4, 1, True)


def test_offsets_that_were_erased_are_no_gap(sound: tuple[LakePaths, Tables], tmp_path: Path) -> None:
    table, lake = RAW["listen_events"], LakePaths(str(tmp_path))
    check = check_of(table, "offsets_continuous")
    rows = sound[1][table.full_name]
    write(lake, table, [row for row in rows if row["kafka_offset"] not in (1, 2)])

    def failed() -> int:
        (found,) = evaluate(lake, table, [check], since=None, find_table=find_table)
        return found.failed

    assert failed() == 2
    record_erased(lake, [{name: rows[1][name] for name in ("kafka_topic", *table.key)}])
    assert failed() == 1
    record_erased(lake, [{name: rows[2][name] for name in ("kafka_topic", *table.key)}])
    assert failed() == 0


PLACE = {"kafka_topic": "t", "kafka_topic_id": "id", "kafka_partition": 0}
CONTINUOUS = check_of(RAW["listen_events"], "offsets_continuous")


def offsets_missed(lake: LakePaths, since: int | None) -> tuple[int, int]:
    """Offsets that were looked at, and those that are missing."""
    found = outcome(lake, RAW["listen_events"], CONTINUOUS, since)
    return found.rows, found.failed


def read(lake: LakePaths, *offsets: int, partition: int = 0) -> None:
    write_raw(lake, "listen_events", "t", [("id", partition, offset) for offset in offsets])


def test_a_gap_between_two_runs_is_seen_by_partition(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    read(lake, 0, 1, 2)
    read(lake, 7, 8, partition=1)
    read(lake, 3, 4)
    assert offsets_missed(lake, since=1) == (2, 0)
    read(lake, 7, 8)
    assert offsets_missed(lake, since=2) == (4, 2), "5 and 6"
    assert offsets_missed(lake, since=1) == (6, 2)
    read(lake, 9, partition=1)
    assert offsets_missed(lake, since=3) == (1, 0)
    read(lake, 80, 81, partition=2)
    assert offsets_missed(lake, since=4) == (2, 0), "nothing was read of it before"
    assert offsets_missed(lake, since=5) == (0, 0)
    assert offsets_missed(lake, since=None) == (14, 2)


def test_a_gap_of_any_size_between_two_runs_is_measured(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    read(lake, 0)
    read(lake, 50_000, 50_001)
    assert offsets_missed(lake, since=0) == (50_001, 49_999)


def test_what_was_erased_or_accepted_as_lost_between_two_runs_is_no_gap(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    read(lake, 0, 1)
    read(lake, 10, 11)
    append_records(lake, ACCEPTED_LOSS, [{**PLACE, "from_offset": 4, "to_offset": 10}])
    for erased, missing in ((2, 1), (3, 0)):
        record_erased(lake, [{**PLACE, "kafka_offset": erased}])
        assert {offsets_missed(lake, since)[1] for since in (0, None)} == {missing}


def test_of_what_was_read_before_only_what_is_near_is_looked_at(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    read(lake, *range(5))
    [long_ago] = Path(lake.path(RAW["listen_events"])).glob("*.parquet")
    read(lake, *range(5, 3000))
    read(lake, 3000)
    long_ago.unlink()
    assert offsets_missed(lake, since=1) == (1, 0)


BRONZE = TABLES["bronze.listen_events"]


def delivered_again(lake: LakePaths, since: int | None) -> tuple[int, int]:
    """Rows that were delivered, and those of events that were there already."""
    found = outcome(lake, BRONZE, check_of(BRONZE, "delivered_once"), since)
    return found.rows, found.failed


def deliver(lake: LakePaths, first: int, events: dict[str, datetime]) -> None:
    """In one commit, from an offset on."""
    rows = [
        {"bronze_id": f"{offset}", "event_id": event, "timestamp": at, "kafka_offset": offset}
        for offset, (event, at) in enumerate(events.items(), first)
    ]
    write(lake, BRONZE, rows, mode="append")


def test_an_event_that_an_earlier_run_brought_is_delivered_again(tmp_path: Path) -> None:
    lake, noon = LakePaths(str(tmp_path)), datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
    deliver(lake, 0, {"a": noon, "b": noon + timedelta(minutes=1), "c": noon - timedelta(days=400)})
    deliver(lake, 3, {"d": noon, "b": noon + timedelta(minutes=1), "c": noon - timedelta(days=400)})
    deliver(lake, 6, {"e": noon + timedelta(minutes=1)})
    assert delivered_again(lake, since=0) == (4, 2)
    assert delivered_again(lake, since=1) == (1, 0)
    assert delivered_again(lake, since=2) == (0, 0)
    assert delivered_again(lake, since=None) == (7, 2)


def test_of_what_was_delivered_before_only_the_times_of_the_run_are_looked_at(tmp_path: Path) -> None:
    lake, noon = LakePaths(str(tmp_path)), datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
    deliver(lake, 0, {"a": noon - timedelta(days=30)})
    [other_day] = Path(lake.path(BRONZE)).glob("**/*.parquet")
    deliver(lake, 1, {"b": noon, "late": noon - timedelta(days=90)})
    deliver(lake, 3, {"b": noon, "later": noon - timedelta(days=90)})
    other_day.unlink()
    assert delivered_again(lake, since=1) == (2, 1)


@pytest.mark.parametrize("name", ["all_streams_of_bronze", "key_unique", "level_of_the_time"])
def test_of_the_day_of_new_facts_only_what_is_about_their_times_is_looked_at(
    sound: tuple[LakePaths, Tables], tmp_path: Path, name: str
) -> None:
    lake, tables, day = LakePaths(str(tmp_path)), sound[1], datetime(2024, 5, 1, tzinfo=timezone.utc)
    facts, listens = TABLES["gold.fact_streams"], TABLES["bronze.listen_events"]
    fact = tables[facts.full_name][0]
    (listen,) = (row for row in tables[listens.full_name] if row["event_id"] == fact["event_id"])
    for other in ("silver.dim_users", "bronze.page_view_events", "bronze.auth_events", "bronze.status_change_events"):
        write(lake, TABLES[other], tables[other])

    def stream(hour: int, event_id: str, *, lost: bool = False) -> None:
        at = day + timedelta(hours=hour)
        write(lake, listens, [{**listen, "event_id": event_id, "bronze_id": event_id, "timestamp": at}], mode="append")
        if not lost:
            row = {**fact, "event_id": event_id, "ts": at, "date_part": at.date()}
            write(lake, facts, [row], mode="append")

    stream(1, "earlier")
    for table in (facts, listens):
        for file in Path(lake.path(table)).glob("**/*.parquet"):
            file.unlink()
    stream(12, "new")
    found = outcome(lake, facts, check_of(facts, name), since=0)
    assert (found.rows, found.passed) == (1, True)

    stream(13, "lost", lost=True)
    found = outcome(lake, facts, check_of(facts, name), since=0)
    assert found.passed == (name != "all_streams_of_bronze"), "what comes behind them that day is no fact"


def test_a_fact_may_be_of_the_last_millisecond_that_there_is(sound: tuple[LakePaths, Tables], tmp_path: Path) -> None:
    lake, facts, last = LakePaths(str(tmp_path)), TABLES["gold.fact_streams"], datetime.max.replace(tzinfo=timezone.utc)
    write(lake, facts, [])
    write(lake, facts, [{**sound[1][facts.full_name][0], "ts": last, "date_part": last.date()}], mode="append")
    found = outcome(lake, facts, check_of(facts, "key_unique"), since=0)
    assert (found.rows, found.failed) == (1, 0)


def levels(tables: Tables, tmp_path: Path, name: str = "level_of_the_time") -> Outcome:
    table = TABLES["gold.fact_streams"]
    check = check_of(table, name)
    lake = LakePaths(str(tmp_path))
    for read_name in read_by(table, check):
        write(lake, TABLES[read_name], tables[read_name])
    return outcome(lake, table, check, since=None)


def test_listens_of_one_time_that_contradict_each_other_are_no_breach_of_law_3(
    sound: tuple[LakePaths, Tables], tmp_path: Path
) -> None:
    tables = copy.deepcopy(sound[1])
    contradict_the_first(tables, BRONZE)
    tables["silver.dim_users"][0]["level"] = "paid"
    assert levels(tables, tmp_path).passed
    warned = levels(tables, tmp_path, "level_unambiguous")
    assert (warned.failed, warned.rows, warned.passed) == (1, 5, False), "they are counted, and warned of"
    assert not warned.check.error


@pytest.mark.parametrize(
    ("topic", "milliseconds"), [("page_view_events", 0), ("auth_events", 0), ("status_change_events", 1)]
)
def test_other_evidence_of_that_time_that_contradicts_a_listen_is_no_breach_of_law_3(
    sound: tuple[LakePaths, Tables], tmp_path: Path, topic: str, milliseconds: int
) -> None:
    tables = copy.deepcopy(sound[1])
    first = tables["bronze.listen_events"][0]
    time = first["timestamp"] - timedelta(milliseconds=milliseconds)
    level = "free" if topic == "status_change_events" else "paid"
    shown = {**tables[f"bronze.{topic}"][0], "userId": first["userId"], "timestamp": time, "level": level}
    tables[f"bronze.{topic}"].append({**shown, "bronze_id": "x"})
    tables["silver.dim_users"][0]["level"] = "paid"
    assert levels(tables, tmp_path).passed
    assert levels(tables, tmp_path, "level_unambiguous").failed == 1


def test_checks_go_by_utc_whatever_the_machines_time_zone(sound: tuple[LakePaths, Tables], tmp_path: Path) -> None:
    lake, facts = LakePaths(str(tmp_path)), TABLES["gold.fact_streams"]
    tables = copy.deepcopy(sound[1])
    after_midnight = [row for row in rows_of(tables, facts) if row["ts"].hour == 0]
    tables[facts.full_name] = [row for row in rows_of(tables, facts) if row["ts"].hour != 0]
    write_all(lake, tables)
    write(lake, facts, after_midnight, mode="append")
    program = f"""
from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.checks import CHECKS
from music_lakehouse.lakehouse.checks import evaluate
from music_lakehouse.lakehouse.lake import LakePaths
table = TABLES["gold.fact_streams"]
for outcome in evaluate(LakePaths({lake.root!r}), table, CHECKS[table], since=0, find_table=find_table):
    print(outcome.check.name, outcome.rows, outcome.failed)
"""
    environment = {**os.environ, "TZ": "America/New_York"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    fared = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert fared == {check.name: "2 0" for check in CHECKS[facts]}
