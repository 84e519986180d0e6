from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, GOLD, WIDE_STREAMS
from music_lakehouse.defs.listening.silver_tables import DIM_USERS, SILVER
from music_lakehouse.defs.listening.steps import STEPS
from music_lakehouse.defs.listening.steps.facts import DimensionsBehindError
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE
from music_lakehouse.lakehouse.erasure import remove_messages
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import forget_positions
from music_lakehouse.lakehouse.steps import run_step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse_tests.defs.listening.histories import batches_of, deliver, dirty_history, numbered, run_steps
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.examples import ANNA, NOON, OSLO, event, listen
from music_lakehouse_tests.oracle.messages import Message
from music_lakehouse_tests.oracle.values import Row, key

pytestmark = pytest.mark.spark

KEPT = [table.full_name for table in (*SILVER, *GOLD)]
SEEDS = [
    pytest.param(seed, cuts, marks=[] if seed < 1 else pytest.mark.slow)
    for seed, cuts in enumerate((3, 8, 1, 2, 12) * 4)
]


@pytest.fixture
def reference_root(tmp_path: Path) -> Path:
    """A catalogue in which some of the songs that are played are missing."""
    directory = tmp_path / "reference"
    songs, _ = write_reference(directory)
    lines = songs.read_text(encoding="utf-8").splitlines(keepends=True)
    songs.write_text("".join(lines[:400]), encoding="utf-8")
    return directory


def versions(lake: Lake) -> dict[str, int]:
    states = {table.full_name: lake.state(table) for table in STEPS}
    return {name: state.version for name, state in states.items() if state is not None}


@pytest.mark.parametrize(("seed", "cuts"), SEEDS)
def test_a_history_in_any_order_and_any_batches_gives_what_the_oracle_says(
    lake: Lake, reference_root: Path, seed: int, cuts: int
) -> None:
    print(f"seed {seed}, {cuts} batches")
    messages = dirty_history(seed)
    for batch in batches_of(messages, cuts, Random(seed)):
        deliver(lake, batch)
        run_steps(lake, reference_root)
    assert_lake_equals_oracle(lake.root, messages, reference_root, ["bronze.quarantine", *KEPT])

    before = versions(lake)
    assert before.keys() == set(KEPT)
    reports = run_steps(lake, reference_root)
    assert {report.written for report in reports.values()} == {Written()}
    assert versions(lake) == before, "a run that finds nothing new writes no version"


@pytest.mark.slow
@pytest.mark.parametrize(("made_here", "read_here"), [(2_000_000, 10_000_000), (0, 10_000_000), (0, 0)])
def test_what_many_rows_take_another_way_for_is_the_same(
    lake: Lake, reference_root: Path, monkeypatch: pytest.MonkeyPatch, made_here: int, read_here: int
) -> None:
    """What is new is a frame of Spark's, as is what is found of it; no long result is held by this process, nor made.
    The third batch is taken with all that was there before, into tables that are there."""
    monkeypatch.setattr("music_lakehouse.lakehouse.lake.MOST_ROWS_OF_A_SMALL_CHANGE", -1)
    monkeypatch.setattr("music_lakehouse.lakehouse.changes.MOST_ROWS_FETCHED", -1)
    monkeypatch.setattr("music_lakehouse.lakehouse.query.MOST_ROWS_MADE_HERE", made_here)
    monkeypatch.setattr("music_lakehouse.lakehouse.query.MOST_ROWS_READ_AT_ONCE", read_here)
    messages = dirty_history(21, 100)
    first, second, third = batches_of(messages, 3, Random(21))
    for batch in (first, second):
        deliver(lake, batch)
        run_steps(lake, reference_root)
    for table in KEPT:
        forget_positions(lake, table)
    deliver(lake, third)
    run_steps(lake, reference_root)
    assert_lake_equals_oracle(lake.root, messages, reference_root, ["bronze.quarantine", *KEPT])


CUTS = [pytest.param(number, marks=[] if number < 1 else pytest.mark.slow) for number in range(6)]


@pytest.mark.parametrize("number", CUTS)
def test_many_commits_that_wait_are_taken_in_pieces_and_give_what_the_oracle_says(
    lake: Lake, reference_root: Path, monkeypatch: pytest.MonkeyPatch, seed: int, number: int
) -> None:
    """Late events, further deliveries and users who changed lie in other pieces than what they belong to."""
    print(f"seed {seed + number}")
    messages = dirty_history(seed + number, 150)
    first, *others = batches_of(messages, 8, Random(seed + number))
    deliver(lake, first)
    run_steps(lake, reference_root)
    for batch in others:
        deliver(lake, batch)
    monkeypatch.setattr("music_lakehouse.lakehouse.steps.MOST_ROWS_A_PIECE", 60)

    reports = run_steps(lake, reference_root)

    assert reports[DIM_USERS].pieces > 3
    assert reports[FACT_STREAMS].pieces > 1
    assert_lake_equals_oracle(lake.root, messages, reference_root, ["bronze.quarantine", *KEPT])
    assert {report.written for report in run_steps(lake, reference_root).values()} == {Written()}


def as_messages(*events: tuple[str, Row]) -> list[Message]:
    sent = numbered((topic, json.dumps(row).encode()) for topic, row in events)
    return [message._replace(kafka_timestamp_ms=NOON + 864_000_000) for message in sent]


BERT: Row = {"userId": 8, "firstName": "Bert", "gender": "M"}
LOADS: list[list[tuple[str, Row]]] = [
    # Users whom only a log-in or a status change shows, a listen without a page view, one without a place.
    [
        ("auth_events", event(0, 1, success=True, **BERT)),
        ("status_change_events", event(0, 1, level="paid", userId=9)),
        ("listen_events", listen(1000, city=None, state=None, zip=None, lat=None, lon=None)),
    ],
    # Nothing but hidden users, and songs and places whose names share a key.
    [
        ("page_view_events", event(2000, page="Home")),
        ("listen_events", listen(3000, 3, song="a|b", artist="c", state="x|y", city="z")),
        ("listen_events", listen(4000, 4, level="paid", lat=-0.0, lon=0.0)),
        ("listen_events", listen(5000, 5, level="paid", lat=0.0, lon=-0.0, city=None)),
    ],
    # A late event older than all history, in the same load as other deliveries of an event that is a fact.
    [
        ("page_view_events", event(-9000, 0, page="Home", level="paid", **{**ANNA, "firstName": "Ann"})),
        ("listen_events", listen(4000, 4, level="paid", duration=1.0, song="Other", **{**OSLO, "city": "Rome"})),
        ("listen_events", listen(4000, 4, level="paid", duration=2.0, lat=-0.0, lon=0.0)),
        ("listen_events", listen(-9000, 0, session=2, level="paid", firstName="Ann")),
        # A place whose names share a key with one that was told before, and come behind it.
        ("listen_events", listen(6000, 6, level="paid", state="y", city="z|x")),
    ],
    # Evidence at exactly the versions' starts; an event of 2000 and one of a day ahead of its message.
    [
        ("page_view_events", event(1000, 7, page="Home", level="paid", **ANNA)),
        ("status_change_events", event(3999, 8, level="paid", **ANNA)),
        ("listen_events", listen(946_684_800_000 - NOON, 0, session=3)),
        ("listen_events", listen(864_000_000 + 86_400_000, 0, session=3, level="paid")),
    ],
]  # fmt: skip


@pytest.mark.slow
def test_odd_histories_are_right_after_each_load(lake: Lake, tmp_path: Path) -> None:
    messages = as_messages(*(each for load in LOADS for each in load))
    sent = 0
    for load in LOADS:
        deliver(lake, messages[sent : sent + len(load)])
        sent += len(load)
        run_steps(lake, tmp_path / "no-reference")
        assert_lake_equals_oracle(lake.root, messages[:sent], tmp_path / "no-reference", KEPT)


DIMENSIONS = [table for table in SILVER if table.name.startswith("dim_")]
UP_TO_FACTS = [*DIMENSIONS, FACT_STREAMS]
WAITING: dict[str, list[tuple[tuple[str, Row], list[Table]]]] = {
    "a fact gets the key of another version in a later commit than it came with": [
        (("listen_events", listen(0, userId=9)), [*STEPS]),
        (("listen_events", listen(1000, 1, session=2)), UP_TO_FACTS),
        (("auth_events", event(-9000, 0, success=True, **ANNA)), UP_TO_FACTS),
    ],
    "a version goes, and comes again under its key with another level": [
        (("listen_events", listen(0)), [*STEPS]),
        (("auth_events", event(-9000, 0, success=True, **ANNA)), DIMENSIONS),
        (("page_view_events", event(0, 9, page="Home", level="paid", **ANNA)), UP_TO_FACTS),
    ],
}
"""Events, one after another, and the steps that run behind each."""


@pytest.mark.parametrize("name", WAITING)
@pytest.mark.usefixtures("commit_by_commit")
def test_what_changed_twice_before_wide_streams_saw_it_is_right_in_every_commit(
    lake: Lake, tmp_path: Path, name: str
) -> None:
    nowhere = tmp_path / "no-reference"
    messages = as_messages(*(each for each, _ in WAITING[name]))
    run_steps(lake, nowhere)
    seen = []
    for message, (_, tables) in zip(messages, WAITING[name], strict=True):
        deliver(lake, [message])
        for table in tables:
            run_step(lake, STEPS[table])
        lake.release()
        seen.append(lake.state(WIDE_STREAMS))
    before = seen[0]
    assert before is not None
    assert set(seen) == {before}, "wide_streams has seen the first"

    report = run_step(lake, STEPS[WIDE_STREAMS])

    assert report.pieces > 1
    if lake.state(WIDE_STREAMS) != before:
        written = pa.table(lake.present(WIDE_STREAMS).load_cdf(before.version + 1)).to_pylist()
        assert all(row["level"] for row in written if row["_change_type"] != "delete"), "whose user nobody knows"
    run_steps(lake, nowhere)
    assert lake.rows(FACT_STREAMS) == sum(topic == "listen_events" for (topic, _), _ in WAITING[name])
    assert_lake_equals_oracle(lake.root, messages, nowhere, KEPT)


@pytest.mark.slow
def test_steps_that_lost_their_positions_change_nothing(lake: Lake, reference_root: Path, seed: int) -> None:
    messages = dirty_history(seed, events=60)
    deliver(lake, messages)
    run_steps(lake, reference_root)
    before = versions(lake)
    for table in STEPS:
        forget_positions(lake, table.full_name)
    reports = run_steps(lake, reference_root)
    assert all(report.changes.full for report in reports.values())
    assert {report.written for report in reports.values()} == {Written()}
    assert versions(lake) == before


@pytest.mark.slow
def test_corrections_of_the_reference_files_reach_the_dimensions_and_wide_streams(lake: Lake, tmp_path: Path) -> None:
    songs, states = tmp_path / "songs.csv", tmp_path / "state_codes.csv"
    header = ("song_id", "title", "artist_name", "duration", "artist_id", "artist_latitude")

    def write(rows: Sequence[tuple[object, ...]], codes: str) -> None:
        with songs.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        states.write_text(f"stateCode,stateName\n{codes}\n")

    messages = as_messages(
        ("listen_events", listen(0)),
        ("listen_events", listen(1000, 1, song="Air", artist="Duo")),
        ("listen_events", listen(2000, 2, song="New", artist="Heard", state="CA")),
    )
    deliver(lake, messages)
    band = ("S1", "Tune", "Band", 100, "A5", 1)
    duo = ("S2", "Air", "Duo", 200, "A7", 2)
    corrections = {
        "at first": ([band, duo], "NY,New York"),
        "a song that only events knew gets its row, a duration is corrected": (
            [(*band[:3], 111, *band[4:]), duo, ("S3", "New", "Heard", 333, "A9", 3)],
            "NY,New York",
        ),
        "a row is removed": ([band, ("S3", "New", "Heard", 333, "A9", 3)], "NY,New York"),
        "an artist gets a smaller id, a smaller song_id another row": (
            [band, ("S0", '"Tune"', "Band", 99, "A1", 9)],
            "NY,New York",
        ),
        "states are renamed, added and removed": ([band], "NY,Empire State\nCA,California"),
        "and removed": ([band], "ca,California"),
    }
    for name, (rows, codes) in corrections.items():
        write(rows, codes)
        run_steps(lake, tmp_path)
        try:
            assert_lake_equals_oracle(lake.root, messages, tmp_path, KEPT)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    songs.unlink()
    states.unlink()
    run_steps(lake, tmp_path)
    assert_lake_equals_oracle(lake.root, messages, tmp_path, KEPT)
    assert {row.songKey for row in lake.read(SILVER[1]).collect()} >= {key("Tune", "Band"), "unknown"}


def test_wide_streams_waits_for_the_dimensions_of_its_facts(lake: Lake, reference_root: Path) -> None:
    deliver(lake, numbered([("listen_events", json.dumps(listen()).encode())]))
    run_step(lake, STEPS[FACT_STREAMS])
    with pytest.raises(DimensionsBehindError, match=r"1 of them have keys .*materialize silver\.dim_"):
        run_step(lake, STEPS[WIDE_STREAMS])
    assert lake.rows(WIDE_STREAMS) == 0

    run_steps(lake, reference_root)
    assert lake.rows(WIDE_STREAMS) == 1
    (row,) = lake.read(WIDE_STREAMS).select("userKey", "songName", "artistName", "stateName", "dateHour").collect()
    assert None not in row


@pytest.mark.parametrize("number", CUTS)
def test_messages_that_are_removed_leave_what_the_others_say(
    lake: Lake, reference_root: Path, seed: int, number: int
) -> None:
    print(f"seed {seed + number}")
    rng = Random(seed + number)
    messages = dirty_history(seed + number)
    deliver(lake, messages)
    run_steps(lake, reference_root)
    [gone] = lake.read(BRONZE["page_view_events"]).where("userId IS NOT NULL").selectExpr("min(userId)").first() or [0]
    of_one = f'"userId": {gone},'.encode()
    removed = [message for message in messages if of_one in (message.value or b"") or rng.random() < 0.1]
    assert removed
    left = [message for message in messages if message not in removed]
    remove(lake, removed)
    late = removed[: len(removed) // 3]
    if number % 2:
        deliver(lake, late)
        left += late
    run_steps(lake, reference_root)
    assert_lake_equals_oracle(lake.root, left, reference_root, ["bronze.quarantine", *KEPT])
    before = versions(lake)
    run_steps(lake, reference_root)
    assert versions(lake) == before

    deliver(lake, [message for message in messages if message not in left])
    run_steps(lake, reference_root)
    assert_lake_equals_oracle(lake.root, messages, reference_root, ["bronze.quarantine", *KEPT])


@pytest.mark.slow
def test_steps_that_lost_their_positions_see_too_what_was_removed(lake: Lake, reference_root: Path, seed: int) -> None:
    messages = dirty_history(seed, events=60)
    deliver(lake, messages)
    run_steps(lake, reference_root)
    remove(lake, messages[::3])
    for table in STEPS:
        forget_positions(lake, table.full_name)
    run_steps(lake, reference_root)
    left = [message for number, message in enumerate(messages) if number % 3]
    assert_lake_equals_oracle(lake.root, left, reference_root, ["bronze.quarantine", *KEPT])


def remove(lake: Lake, messages: Sequence[Message]) -> None:
    """Take the messages out of bronze and quarantine."""
    for table in (*BRONZE.values(), QUARANTINE):
        names = {*BRONZE} if table is QUARANTINE else {table.name}
        rows = [
            dict(zip(MESSAGE, (message.topic_id, message.partition, message.offset), strict=True))
            for message in messages
            if message.event_name in names
        ]
        types = [table.arrow_schema.field(name) for name in MESSAGE]
        remove_messages(lake, table, pa.Table.from_pylist(rows, schema=pa.schema(types)))
