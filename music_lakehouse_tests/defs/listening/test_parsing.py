from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest

from music_lakehouse.defs.listening import parsing
from music_lakehouse.defs.listening.parsing import Parsed, parse_topic
from music_lakehouse.defs.listening.tables import BRONZE, EVENT_FIELDS, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.lake import Lake, Rows
from music_lakehouse.lakehouse.positions import begin_anew
from music_lakehouse_tests.defs.listening.transforms.test_events import CASES, sent
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = pytest.mark.spark

TOPIC = "auth_events"
SENT = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
GOOD, REFUSED, RESCUED = sent(success=True), b"{", sent(success=False, more=1)


@pytest.fixture(autouse=True, params=["few", "many", pytest.param("more than fit here", marks=pytest.mark.slow)])
def how_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few messages are written in another way than many: each test is of all."""
    if request.param == "many":
        monkeypatch.setattr(parsing, "MOST_ROWS_AT_ONCE", 0)
    if request.param == "more than fit here":
        monkeypatch.setattr(parsing, "MOST_MESSAGES_PARSED_HERE", 0)


def arrive(lake: Lake, values: Sequence[bytes | None], first_offset: int = 0, topic_id: str = "id") -> None:
    """Messages into the raw table, as one commit."""
    lake.create(RAW[TOPIC])
    rows = [
        (value.decode() if value is not None else None, None, None, SENT, TOPIC, topic_id, 0, first_offset + n, SENT)
        for n, value in enumerate(values)
    ]
    lake.append(lake.spark.createDataFrame(rows, RAW[TOPIC].ddl), RAW[TOPIC])


def parse(lake: Lake, max_bytes: str = "64m") -> Parsed:
    return parse_topic(lake, TOPIC, max_bytes=max_bytes)


def offsets(lake: Lake) -> tuple[list[int], list[int]]:
    """What bronze and quarantine hold."""
    tables = (BRONZE[TOPIC], QUARANTINE)
    kept, refused = (sorted(row["kafka_offset"] for row in read_table(lake.root, t.full_name)) for t in tables)
    return kept, refused


def versions(lake: Lake) -> list[TableState]:
    states = [lake.state(table) for table in (BRONZE[TOPIC], QUARANTINE)]
    return [state for state in states if state is not None]


@pytest.mark.slow
def test_where_nothing_was_read_there_is_nothing_to_parse(lake: Lake) -> None:
    assert parse(lake).counts == {}
    assert offsets(lake) == ([], [])
    assert {result.failed for result in parse(lake).rule_results} == {0}


@pytest.mark.slow
def test_a_micro_batch_has_the_rows_that_it_took_however_often_they_were_read(lake: Lake) -> None:
    arrive(lake, [GOOD, REFUSED, RESCUED, None])
    [batch] = parse(lake).micro_batches

    assert (batch.rows, batch.query, batch.lag) == (4, BRONZE[TOPIC].full_name, None)
    assert batch.processed_rows_per_second == pytest.approx(4000 / batch.duration_ms)
    assert parse(lake).micro_batches == ()


def test_every_raw_row_is_in_bronze_or_in_quarantine_once(lake: Lake) -> None:
    arrive(lake, [GOOD, REFUSED, RESCUED, None])
    first = parse(lake)
    assert (first.rows, first.refused, first.rescued) == (4, 2, 1)
    assert {r.rule.name: (r.rows, r.failed) for r in first.rule_results if r.failed} == {"json_object": (4, 2)}
    assert offsets(lake) == ([0, 2], [1, 3])

    before = versions(lake)
    assert parse(lake).rows == 0
    assert versions(lake) == before

    # Several commits that one run takes in several batches, and the same offsets of a topic made anew.
    for number in range(3):
        arrive(lake, [GOOD, REFUSED], first_offset=4 + 2 * number)
    arrive(lake, [GOOD], topic_id="another id")
    assert parse(lake, max_bytes="1b").rows == 7
    assert offsets(lake) == ([0, 0, 2, 4, 6, 8], [1, 3, 5, 7, 9])


def test_on_a_server_a_run_that_dies_has_done_the_pieces_before(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lake, "is_remote", True)
    monkeypatch.setattr(parsing, "MOST_MESSAGES_A_PIECE", 2)
    arrive(lake, [GOOD])
    parse(lake)
    for first in (1, 3, 5):
        arrive(lake, [GOOD, REFUSED], first_offset=first)
    write = parsing._write_batch
    left = iter([write])

    def dies(lake: Lake, topic: str, batch: Rows) -> dict[str, int]:
        return next(left)(lake, topic, batch)

    monkeypatch.setattr(parsing, "_write_batch", dies)
    with pytest.raises(StopIteration):
        parse(lake)
    assert offsets(lake) == ([0, 1], [2])

    monkeypatch.setattr(parsing, "_write_batch", write)
    assert parse(lake).rows == 4
    assert offsets(lake) == ([0, 1, 3, 5], [2, 4, 6])
    assert parse(lake).rows == 0


@pytest.mark.slow
def test_a_query_whose_checkpoint_is_gone_adds_nothing_twice(lake: Lake) -> None:
    arrive(lake, [GOOD, REFUSED])
    parse(lake)
    shutil.rmtree(Path(lake.root) / "_checkpoints")
    shutil.rmtree(Path(lake.root) / "metrics")
    lake = Lake(lake.root, lake.spark)
    arrive(lake, [GOOD, REFUSED], first_offset=2)
    parse(lake)
    assert offsets(lake) == ([0, 2], [1, 3])


@pytest.mark.slow
def test_without_its_checkpoint_alone_a_query_goes_on_behind_what_was_taken(lake: Lake) -> None:
    arrive(lake, [GOOD, REFUSED])
    parse(lake)
    shutil.rmtree(Path(lake.root) / "_checkpoints")
    arrive(lake, [GOOD, REFUSED], first_offset=2)
    assert parse(lake).rows == 2, "not all four"
    assert offsets(lake) == ([0, 2], [1, 3])


@pytest.mark.slow
def test_told_to_begin_anew_all_messages_are_parsed_again_and_others_rows_stay(lake: Lake) -> None:
    arrive(lake, [GOOD, REFUSED, GOOD])
    parse(lake)
    other = [("other", "id", 0, n, SENT, "{", ["json_object"], SENT) for n in (7, 8)]
    lake.append(lake.spark.createDataFrame(other, QUARANTINE.ddl), QUARANTINE)
    for file in lake.present(BRONZE[TOPIC]).file_uris():
        Path(file).write_bytes(b"damaged")
    begin_anew(lake, BRONZE[TOPIC].full_name)
    before = versions(lake)

    parsed = parse(lake)

    assert (parsed.anew, parsed.rows, parsed.refused) == (True, 3, 1)
    assert offsets(lake) == ([0, 2], [1, 7, 8])
    assert [v.version - b.version for v, b in zip(versions(lake), before, strict=True)] == [1, 1]
    arrive(lake, [REFUSED, GOOD], first_offset=3)
    again = parse(lake)
    assert (again.anew, again.rows) == (False, 2)
    assert offsets(lake) == ([0, 2, 4], [1, 3, 7, 8])


@pytest.mark.slow
def test_a_batch_that_was_killed_between_its_two_tables_is_completed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(lake, [GOOD, REFUSED, GOOD])
    append_new = parsing._append_new

    def dies_before_quarantine(lake: Lake, table: object, *rest: object) -> None:
        if table is QUARANTINE:
            raise RuntimeError("killed")
        append_new(lake, table, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(parsing, "_append_new", dies_before_quarantine)
        with pytest.raises(Exception, match="killed"):
            parse(lake)
    assert offsets(lake) == ([0, 2], [])
    parse(lake)
    assert offsets(lake) == ([0, 2], [1])


@pytest.mark.slow
def test_a_bronze_table_made_anew_is_filled_again_and_quarantine_is_not_doubled(lake: Lake) -> None:
    arrive(lake, [GOOD, REFUSED])
    parse(lake)
    shutil.rmtree(lake.path(BRONZE[TOPIC]))
    parse(Lake(lake.root, lake.spark))
    assert offsets(lake) == ([0], [1])


@pytest.mark.parametrize("topic", EVENT_FIELDS)
def test_every_rule_is_seen_to_refuse_a_message(topic: str) -> None:
    broken = {reason for case in CASES.values() if case.topic == topic for reason in case.reasons or ()}
    common = {reason for case in CASES.values() for reason in case.reasons or ()} - {"page_present", "success_present"}
    assert {rule.name for rule in events.rules(topic)} == common | (broken & {"page_present", "success_present"})
