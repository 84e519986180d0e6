"""What is new in a step's sources since it last succeeded: from a recorded position to the source's present version.

A position is recorded after the step has committed. So a step that is killed in between sees the same changes again,
and a step whose position is missing, or whose source's log no longer reaches back to it, sees the whole source. Both
are harmless, because steps take only keys from changes and read the present state for those keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from heapq import merge
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import CHANGE_TYPE, MOST_BYTES_FETCHED, MOST_ROWS_FETCHED, Lake, LakePaths, Rows
from music_lakehouse.lakehouse.positions import Stretch, read_positions, read_told, replace_positions
from music_lakehouse.lakehouse.tables import Table

# Delta's default retention of files that no version needs any more: an older change feed may lack its files.
FEED_RETENTION = timedelta(days=7)

_Commit: TypeAlias = tuple[Table, Mapping[str, Any]]
"""A source, and what its log says of a commit."""


@dataclass(frozen=True)
class Change:
    """The changes of one source. `rows` has the source's columns and `_change_type` (insert, delete, update_preimage,
    update_postimage); where `full` is true it is the whole source as inserts."""

    lake: Lake
    source: Table
    state: delta.TableState
    since: int | None
    commits: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """What the log says of the commits after `since`."""
    few: bool = True
    """Whether they may be fetched."""
    corrected: bool = False
    """Whether others of what is new, in another piece, changed or removed rows: what was added here may not stand."""
    claimed: DataFrame | None = field(default=None, repr=False)
    """Rows that count as changed though nobody changed them: what follows from them is to be computed again."""
    why: str = ""
    """What was claimed, in a word."""

    @property
    def full(self) -> bool:
        return self.since is None

    @cached_property
    def rows(self) -> DataFrame:
        if self.claimed is not None:
            return self.claimed.withColumn(CHANGE_TYPE, F.lit("update_postimage"))
        if self.since is None:
            return self.lake.read(self.source, version=self.state.version).withColumn(CHANGE_TYPE, F.lit("insert"))
        if self.lake.small and self.here is not None:
            return self.lake.handed_over(f"{self}", lambda: self.found)
        return self.lake.read_feed(self.source, self.since + 1, self.state.version)

    @cached_property
    def here(self) -> pa.Table | None:
        """The same rows, fetched; None where they aren't few."""
        if self.since is None or self.claimed is not None or not self.few:
            return None
        return self.lake.fetch_feed(self.source, self.since + 1, self.state.version)

    def __str__(self) -> str:
        since = "the beginning" if self.since is None else self.since
        return f"{self.source.full_name} {self.state.table_id} from {since} to {self.state.version}{self.why}"

    @property
    def append_only(self) -> bool:
        """Whether the log says that rows were only added: then all rows are inserts, none was added twice, and the
        source has them as they are here."""
        only_added = self.since is not None and self.claimed is None and all(map(delta.is_append, self.commits))
        return only_added and not self.corrected

    @property
    def count(self) -> int | None:
        """About how many rows there are, by the log alone; None where it doesn't say."""
        if self.claimed is not None:
            return None
        if self.since is None:
            return self.lake.rows(self.source)
        return total(map(delta.rows_of, self.commits))

    @property
    def inserted(self) -> DataFrame:
        """Only rows that were added, without the change type."""
        return self.rows.where(F.col(CHANGE_TYPE) == "insert").drop(CHANGE_TYPE)

    @property
    def touched(self) -> DataFrame:
        """The rows that keys are taken from, without the change type: those that were added; where any were changed or
        removed, all of them as they were and as they are."""
        return self.inserted if self.full or self.append_only else self.rows.drop(CHANGE_TYPE)

    @property
    def found(self) -> Rows:
        """`rows`, here where they are few."""
        return self.rows if self.here is None else self.here

    @property
    def found_inserted(self) -> Rows:
        """`inserted`, here where they are few."""
        if self.here is None:
            return self.inserted
        return self.here.filter(pc.equal(self.here[CHANGE_TYPE], "insert")).drop_columns([CHANGE_TYPE])

    @property
    def found_touched(self) -> Rows:
        """`touched`, here where they are few."""
        if self.here is None:
            return self.touched
        return self.found_inserted if self.append_only else self.here.drop_columns([CHANGE_TYPE])

    def only(self, commits: Sequence[Mapping[str, Any]], *, few: bool) -> Change:
        """What these of the commits brought, which follow each other."""
        first, last = _version(commits[0]), _version(commits[-1])
        state, corrected = replace(self.state, version=last), not self.append_only
        return replace(self, state=state, since=first - 1, commits=tuple(commits), few=few, corrected=corrected)

    def inserted_as(self, name: str, transform: Callable[[DataFrame], DataFrame], *, many: bool = False) -> DataFrame:
        """What the transform, which the name stands for, makes of `inserted`; where few rows are expected, and else if
        `many` says so, once for all that asks in a run."""
        if not many and (self.full or not self.lake.small):
            return transform(self.inserted)
        return self.lake.shared(f"{name} {self}", lambda: transform(self.inserted))


@dataclass(frozen=True)
class Changes:
    """The changes of all of a step's sources that have any, by source."""

    step: str
    by_source: Mapping[Table, Change]
    anew: bool = False
    """Whether the step was told to begin anew: what it records behind its commit takes that back."""
    again: tuple[Stretch, ...] = ()
    """The stretches of time of which the step was told to compute again what it has; taken back likewise."""
    retry: bool = False
    """Whether a retry of what was refused was killed: what it brought to the step's table may be in quarantine too."""
    recorded: Mapping[str, delta.TableState] = field(default_factory=dict, repr=False)
    """The positions behind which they are, by the source's full name."""

    def __bool__(self) -> bool:
        return bool(self.by_source)

    def get(self, source: Table) -> Change | None:
        return self.by_source.get(source)

    def only_added(self, *sources: Table) -> bool:
        """Whether of these sources rows were only added: nothing that a step knew of them is gone."""
        found = filter(None, map(self.get, sources))
        return all(change.full or change.append_only for change in found)

    def in_pieces(self, most: int) -> Iterator[Changes]:
        """The same, some commits at a time, the oldest first: of no more than `most` rows together, or one commit that
        has more. Where each piece is recorded once it is done, a kill costs no more than one.

        In one piece where a source is seen whole, where a log doesn't say how many rows there are, and where the step
        was told to take anything again.
        """
        if not self or self.full or self.count is None or self.anew or self.again:
            yield self
            return
        # Each source's commits stay in their order, whatever the clocks of those who made them say.
        logs = [
            [(source, commit) for commit in sorted(change.commits, key=_version)]
            for source, change in self.by_source.items()
        ]
        taken, rows, recorded = list[_Commit](), 0, self.recorded
        for source, commit in merge(*logs, key=lambda each: int(each[1]["timestamp"])):
            count = delta.rows_of(commit) or 0
            if taken and rows + count > most:
                piece = self._of(taken, recorded)
                yield piece
                taken, rows, recorded = [], 0, {**recorded, **piece.states}
            taken.append((source, commit))
            rows += count
        yield self._of(taken, recorded)

    def _of(self, commits: Sequence[_Commit], recorded: Mapping[str, delta.TableState]) -> Changes:
        by_source: dict[Table, list[Mapping[str, Any]]] = {}
        for source, commit in commits:
            by_source.setdefault(source, []).append(commit)
        few = _are_few([commit for _, commit in commits])
        piece = {source: self.by_source[source].only(some, few=few) for source, some in by_source.items()}
        return replace(self, by_source=piece, recorded=recorded)

    @property
    def states(self) -> dict[str, delta.TableState]:
        """Up to which state of each source they are, by the source's full name."""
        return {source.full_name: change.state for source, change in self.by_source.items()}

    @property
    def full(self) -> bool:
        """Whether any source is seen whole: then the step recomputes everything."""
        return any(change.full for change in self.by_source.values())

    @property
    def count(self) -> int | None:
        """About how many rows there are; None where the log doesn't say."""
        return total(change.count for change in self.by_source.values())

    def described(self) -> dict[str, str]:
        """Source by name, with the versions taken, for a run's metadata."""
        return {
            change.source.full_name: f"{'all' if change.since is None else change.since + 1}..{change.state.version}"
            for change in self.by_source.values()
        }


def total(counts: Iterable[int | None]) -> int | None:
    """The counts' sum; None where one of them isn't known."""
    known = list(counts)
    return None if None in known else sum(filter(None, known))


def find_changes(lake: Lake, step: str, sources: Iterable[Table]) -> Changes:
    """What the step has not seen yet of its sources. A source that doesn't exist yet has no changes."""
    told = read_told(lake, step)
    found = {}
    for source in sources:
        state = lake.state(source)
        if state is None:
            continue
        known = None if told.anew else told.positions.get(source.full_name)
        if known is not None and known == state:
            continue
        commits = _commits_behind(lake, source, known, state)
        since = known.version if known is not None and commits else None
        found[source] = Change(lake, source, state, since, tuple(commits or ()))
    few = _are_few([commit for change in found.values() for commit in change.commits])
    found = {source: replace(change, few=few) for source, change in found.items()}
    again, retry = ((), False) if told.anew else (told.again, told.retry)
    return Changes(step, found, told.anew, again, retry, told.positions)


def _version(commit: Mapping[str, Any]) -> int:
    return int(commit["version"])


def _are_few(commits: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what the commits brought a step is fetched. It is all of it or nothing: for a query over some rows that
    are here and others that aren't, Spark would be handed all of them, and hold them in the memory of its driver."""
    count = total(map(delta.rows_of, commits))
    return count is not None and count <= MOST_ROWS_FETCHED and sum(map(delta.bytes_of, commits)) <= MOST_BYTES_FETCHED


def everything(lake: Lake, source: Table) -> Change | None:
    """The source as a change that brought all of it; None where it doesn't exist yet."""
    state = lake.state(source)
    return None if state is None else Change(lake, source, state, None)


def claim_changes(lake: Lake, step: str, rows: Mapping[Table, DataFrame], why: str) -> Changes:
    """Changes by which a step computes again what follows from these rows of its sources, though they are as they were.
    Their positions are not to be recorded. `why` tells rows of the same source from others."""
    states = {source: lake.state(source) for source in rows}
    return Changes(
        step,
        {
            source: Change(lake, source, state, state.version, claimed=rows[source], why=f", {why}")
            for source, state in states.items()
            if state is not None
        },
    )


def rows_behind(lake: LakePaths, step: str, source: Table) -> int:
    """About how many rows of the source the step has not taken yet, by the logs alone."""
    state = lake.state(source)
    known = read_positions(lake, step).get(source.full_name)
    if state is None or known == state:
        return 0
    commits = _commits_behind(lake, source, known, state)
    return total(map(delta.rows_of, commits)) or 0 if commits else lake.rows(source)


def record_positions(lake: LakePaths, changes: Changes) -> None:
    """Remember that the step has taken these changes; call it after the step's commit."""
    if changes or changes.again:
        replace_positions(lake, changes.step, {**changes.recorded, **changes.states})


def _commits_behind(
    lake: LakePaths, source: Table, known: delta.TableState | None, state: delta.TableState
) -> list[dict[str, Any]] | None:
    """The commits behind a position; None or none where the change feed doesn't reach from it to the present state."""
    found = lake.open(source)
    if found is None or known is None or known.table_id != state.table_id:
        return None
    commits = delta.commits_after(found, known.version, state.version)
    oldest_wanted = datetime.now(timezone.utc) - FEED_RETENTION
    reaches = commits is not None and all(delta.committed_at(commit) > oldest_wanted for commit in commits)
    return commits if reaches else None
