"""Up to which version each step has taken its sources, and what it was told to take again.

One table for all steps, partitioned by step: what is recorded of one is replaced in one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.records import read_records, replace_records
from music_lakehouse.lakehouse.tables import Column, Table

POSITIONS = Table(
    layer="metrics",
    name="positions",
    description="One row a (step, source): up to which version of the source the step has taken its changes.",
    columns=(
        Column("step", "STRING", "the table that the step keeps"),
        Column(
            "source",
            "STRING",
            "the table that it reads; *: its own table is to be written anew as a whole; *retry: messages that were "
            "refused may be in it and in quarantine; * and two times: what messages of that stretch gave is to be "
            "computed again",
        ),
        Column("table_id", "STRING", "the source's Delta table id: a table made anew has another"),
        Column("version", "BIGINT", "the source's version up to which changes were taken"),
        Column("recorded_at", "TIMESTAMP", "when this was recorded"),
    ),
    key=("step", "source"),
    partition_by=("step",),
)
_ANEW = "*"
_RETRY = "*retry"


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, UTC, from one moment to another (exclusive)."""

    since: datetime
    until: datetime

    def of(self, column: str) -> Moments:
        """The rows whose timestamp column lies in it."""
        return Moments(column, self.since, self.until - timedelta(microseconds=1))

    def __str__(self) -> str:
        return f"{self.since.isoformat()}/{self.until.isoformat()}"

    @staticmethod
    def parse(text: str) -> Stretch:
        since, until = map(datetime.fromisoformat, text.split("/"))
        return Stretch(since, until)


@dataclass(frozen=True)
class Told:
    """What is recorded of a step: its positions by the source's full name, whether it is to begin `anew`, of which
    stretches of time it is to compute `again` what it has, and whether a `retry` of what was refused was not ended."""

    positions: Mapping[str, delta.TableState]
    anew: bool
    again: tuple[Stretch, ...]
    retry: bool = False


def record_source_position(lake: LakePaths, step: str, source: str, state: delta.TableState) -> None:
    """Remember that the step has taken a source, which may be a file, in this state."""
    replace_positions(lake, step, {**read_positions(lake, step), source: state})


def read_source_position(lake: LakePaths, step: str, source: str) -> delta.TableState | None:
    """The state in which the step took the source last; None where it never did."""
    return read_positions(lake, step).get(source)


def read_positions(lake: LakePaths, step: str) -> dict[str, delta.TableState]:
    """The positions recorded for the step, by the source's full name."""
    return dict(read_told(lake, step).positions)


def read_told(lake: LakePaths, step: str) -> Told:
    """The positions recorded for the step, and what it was told to take again."""
    recorded = _recorded(lake, step)
    told = {source for source in recorded if source[:1] == _ANEW}
    stretches = sorted(each.removeprefix(_ANEW) for each in told - {_ANEW, _RETRY})
    states = {source: state for source, state in recorded.items() if source not in told}
    return Told(states, _ANEW in told, tuple(map(Stretch.parse, stretches)), _RETRY in told)


def _recorded(lake: LakePaths, step: str) -> dict[str, delta.TableState]:
    rows = read_records(lake, POSITIONS, partition=step)
    return {row["source"]: delta.TableState(row["table_id"], row["version"]) for row in rows}


def replace_positions(lake: LakePaths, step: str, states: Mapping[str, delta.TableState]) -> None:
    """Remember these positions of the step, and nothing else: what it was told to take again is taken back."""
    now = datetime.now(timezone.utc)
    rows = [
        {"step": step, "source": name, "table_id": state.table_id, "version": state.version, "recorded_at": now}
        for name, state in states.items()
    ]
    replace_records(lake, POSITIONS, rows, partition=step)


def move_positions(lake: LakePaths, source: Table, state: delta.TableState, version: int) -> None:
    """Let the steps that have taken the source in this state have taken it up to a later version: no row changed
    between them, and the source's log doesn't tell any more."""
    for row in read_records(lake, POSITIONS):
        if row["source"] == source.full_name and delta.TableState(row["table_id"], row["version"]) == state:
            moved = delta.TableState(state.table_id, version)
            replace_positions(lake, row["step"], {**_recorded(lake, row["step"]), source.full_name: moved})


def forget_positions(lake: LakePaths, step: str) -> None:
    """Let the step see everything at its next run."""
    replace_records(lake, POSITIONS, [], partition=step)


def begin_anew(lake: LakePaths, step: str) -> None:
    """Let the step see everything at its next run, and write its table anew as a whole, whatever it holds."""
    replace_positions(lake, step, {**_recorded(lake, step), _ANEW: delta.TableState("", -1)})


def compute_again(lake: LakePaths, step: str, stretch: Stretch) -> None:
    """Let the step, at its next run, compute again what messages of the stretch gave."""
    replace_positions(lake, step, {**_recorded(lake, step), f"{_ANEW}{stretch}": delta.TableState("", -1)})


@contextmanager
def retrying(lake: LakePaths, step: str) -> Iterator[None]:
    """Meanwhile it is recorded that messages which were refused are brought into the step's table and out of
    quarantine. The record stays where that is killed or raises: the step's next run sees to it that none is in both."""
    others = {source: state for source, state in _recorded(lake, step).items() if source != _RETRY}
    replace_positions(lake, step, {**others, _RETRY: delta.TableState("", -1)})
    yield
    replace_positions(lake, step, others)


def begins_anew(lake: LakePaths, step: str) -> bool:
    """Whether the step was told to begin anew, and has not done so yet."""
    return read_told(lake, step).anew


def is_told_again(lake: LakePaths, step: str) -> bool:
    """Whether the step was told to take anything again, or has to end a retry, and has not done so yet."""
    told = read_told(lake, step)
    return told.anew or told.retry or bool(told.again)


def downstream_of(lake: LakePaths, tables: Iterable[str]) -> list[str]:
    """The steps that have read one of the tables (full names), or a table that such a step keeps; without the tables
    themselves, the nearest first. By the recorded positions: a step that never ran is not among them."""
    readers: dict[str, set[str]] = {}
    for row in read_records(lake, POSITIONS):
        readers.setdefault(row["source"], set()).add(row["step"])
    found = dict.fromkeys(tables)
    waiting, given = list(found), set(found)
    while waiting:
        new = [step for step in sorted(readers.get(waiting.pop(0), ())) if step not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return [name for name in found if name not in given]
