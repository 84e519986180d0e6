"""A soak in which all went well, and one for each way in which it may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from music_lakehouse_tests.soak import processes, report
from music_lakehouse_tests.soak.faults import Happened
from music_lakehouse_tests.soak.judgement import MB, MOST, Verdict, judge, recoveries
from music_lakehouse_tests.soak.record import Commit, Death, Record, Run
from music_lakehouse_tests.soak.watch import Memory, Sample, Stored

BEGAN, MINUTES = 1_790_000_000.0, 60
TABLE = "gold.wide_streams"


def run(minute: float, *, status: str = "SUCCESS", job: str = "streaming_pipeline", seconds: float = 30.0) -> Run:
    since = BEGAN + 60 * minute
    return Run(f"{job} {minute}", job, status, since, since + seconds, () if status == "SUCCESS" else ("of something",))


def sample(minute: float, *, grown: float = 0.0, files: int = 4, heap: float = 300.0) -> Sample:
    """In the first half of each minute a run is in progress."""
    size = round((100 + grown) * MB)
    parts = (processes.UP, processes.KAFKA, processes.DAEMON, processes.METRICS)
    return Sample(
        at=BEGAN + 60 * minute,
        unread=10,
        behind=5,
        rate=500.0,
        streams=1000,
        kafka="",
        memory={
            **{part: Memory(size, 1) for part in parts},
            processes.SPARK: Memory(1000 * MB, 2),
            **({processes.RUN: Memory(400 * MB, 100 + int(minute))} if minute % 1 < 0.5 else {}),
        },
        heap=Memory(round(heap * MB), 2),
        tables={TABLE: Stored(1000, 5000, files, 40, 20, 90_000)},
        home={"dagster/history/runs": 50 * MB, "broker/log": 100 * MB},
    )


@pytest.fixture
def good() -> Record:
    """An hour, a fault and a run every minute up to the last quarter, and maintenance every five minutes."""
    return Record(
        rate=500,
        dirty=0.02,
        seed=1,
        began=BEGAN,
        stopped=BEGAN + 60 * MINUTES,
        happened=[Happened("spark_kill", BEGAN + 60 * n, BEGAN + 60 * n + 1, "killed") for n in range(45)],
        samples=[sample(n / 2) for n in range(2 * MINUTES)],
        runs=[
            *(run(n, status="FAILURE" if n < 45 and n % 2 else "SUCCESS") for n in range(MINUTES + 1)),
            *(run(5 * n, job="table_maintenance", seconds=5) for n in range(12)),
        ],
        deaths=[Death(BEGAN + 60 * n, "Spark ended by SIGKILL") for n in range(45)],
        commits=[Commit(BEGAN + 60 * n, 100, 20.0, 40.0) for n in range(MINUTES)],
        drain=20.0,
        messages=1800,
        events=1000,
        differences="",
        failing=[],
        left=[],
        blind=1,
    )


def failed(record: Record) -> list[Verdict]:
    return [verdict for verdict in judge(record) if verdict.held is False]


def test_a_good_soak_holds_and_all_of_it_can_be_told(good: Record) -> None:
    verdicts = judge(good)
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert len({verdict.name for verdict in verdicts}) == len(verdicts)


@pytest.mark.parametrize(
    ("change", "criterion"),
    [
        ({"drain": None}, "Gold caught up"),
        ({"differences": "gold.fact_streams: 3 rows, the oracle has 4"}, "Every table is what the oracle makes"),
        ({"left": ["the lock _lock"]}, "After the end nothing is left"),
        ({"failing": ["gold.fact_streams keys (error)"]}, "No check fails"),
        ({"blind": 500}, "It was looked at"),
        ({"deaths": [Death(BEGAN + 58 * 60, "Metrics ended by SIGSEGV")]}, "No part died but by a fault"),
        ({"runs": [run(n, status="FAILURE" if n > 50 else "SUCCESS") for n in range(60)]}, "No run failed but"),
        ({"runs": [run(n) for n in range(20)]}, "Within 600 s of each fault"),
        ({"runs": [run(n, seconds=900) for n in range(0, 60, 20)]}, "Within 600 s of each fault"),
    ],
)
def test_what_goes_wrong_is_said(good: Record, change: dict[str, object], criterion: str) -> None:
    assert any(verdict.name.startswith(criterion) for verdict in failed(replace(good, **change)))  # type: ignore[arg-type]


def test_a_death_that_up_tells_by_the_second_belongs_to_the_fault_within_that_second(good: Record) -> None:
    fault = Happened("spark_kill", BEGAN + 60.4, BEGAN + 60.5, "killed")
    first = replace(good, happened=[fault], deaths=[Death(BEGAN + 60, "Spark ended by SIGKILL")])
    assert "No part died but by a fault" not in {verdict.name for verdict in failed(first)}


def test_a_part_that_grows_is_named_with_by_how_much(good: Record) -> None:
    growing = replace(good, samples=[sample(n / 2, grown=n) for n in range(2 * MINUTES)])
    found = {verdict.name: verdict.told for verdict in failed(growing)}
    assert set(found) == {
        f"Flat: Memory of {part}" for part in (processes.UP, processes.KAFKA, processes.DAEMON, processes.METRICS)
    }
    assert found["Flat: Memory of up"].startswith("+60.0 MB over the second half, at 189.5; 51.0 are allowed")


def test_what_spark_holds_counts_between_runs(good: Record) -> None:
    def holding(heap: Callable[[float], float]) -> list[str]:
        samples = [sample(n / 2, heap=heap(n / 2)) for n in range(2 * MINUTES)]
        return [verdict.name for verdict in failed(replace(good, samples=samples))]

    assert holding(lambda minute: 300 + 5 * minute if minute % 1 < 0.5 else 300) == []
    assert holding(lambda minute: 300 + 5 * minute) == [
        "Flat: What Spark's server holds between runs, once it was collected"
    ]


def test_a_table_that_gathers_files_in_spite_of_maintenance_is_named(good: Record) -> None:
    gathering = replace(good, samples=[sample(n / 2, files=n) for n in range(2 * MINUTES)])
    assert [verdict.name for verdict in failed(gathering)] == [f"Flat: Files of {TABLE}, after maintenance"]


@pytest.mark.parametrize(("part", "told"), [(processes.SPARK, "3,073 MB"), (processes.RUN, "2,049 MB")])
def test_neither_spark_nor_a_run_may_take_more_than_it_needs(good: Record, part: str, told: str) -> None:
    most = replace(good.samples[-1], memory={part: Memory(MOST[part] + MB, 2)})
    assert [verdict.told for verdict in failed(replace(good, samples=[*good.samples, most]))] == [told]


def test_what_is_too_short_to_tell_fails_nothing_and_says_so(good: Record) -> None:
    short = replace(good, samples=good.samples[:1], blind=0)
    untold = [verdict for verdict in judge(short) if verdict.held is None]
    assert {verdict.told for verdict in untold} == {"too short to tell"}
    assert f"Flat: Memory of {processes.KAFKA}" in {verdict.name for verdict in untold}
    assert failed(short) == []


def test_only_a_fault_that_is_left_alone_has_to_be_recovered_from(good: Record) -> None:
    minutes = [1, 5, 13]
    faults = [Happened("dirt", BEGAN + 60 * m, BEGAN + 60 * m + 1, "sent") for m in minutes]

    def verdict(*ends: int) -> Verdict:
        record = replace(good, happened=faults, runs=[run(minute) for minute in ends])
        return next(each for each in judge(record) if "has succeeded again" in each.name)

    assert verdict(14).held, "another fault came within ten minutes of each but the last"
    assert "1 of 1 faults" in verdict(14).told
    assert not verdict(24).held, "more than ten minutes after the last"
    assert not verdict(0).held, "none after it"
    assert "2 of 2 faults" in verdict(6, 14).told


def test_a_recovery_lasts_until_the_next_run_that_succeeds_has_ended(good: Record) -> None:
    assert recoveries(replace(good, happened=good.happened[:2], runs=[run(0), run(1, status="FAILURE"), run(2)])) == [
        29,
        89,
    ]
    assert recoveries(replace(good, happened=good.happened[:1], runs=[])) == [None]


@pytest.mark.thorough
def test_the_report_shows_verdicts_faults_and_sizes_and_fetches_nothing(good: Record, tmp_path: Path) -> None:
    page = report.write(good, judge(good), tmp_path / "soak")

    text = page.read_text()
    assert {file.name for file in page.parent.iterdir()} == {"soak.html", "soak.svg", "soak.png"}
    assert "60 minutes at 500 events a second" in text
    assert "<td>Gold caught up with the topics</td><td>held</td><td>20 s after the last event</td>" in text
    assert f"<td>{TABLE}</td><td>5.0</td><td>90.0</td><td>4</td><td>40</td><td>20</td><td>1,000</td>" in text
    assert "<td>Kafka</td><td>104,858</td>" in text
    assert "http" not in text.replace("http://www.w3.org/", "")
