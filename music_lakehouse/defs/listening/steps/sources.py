"""What several steps take from bronze: computed once a run, however many steps use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.tables import BRONZE
from music_lakehouse.defs.listening.transforms import users
from music_lakehouse.defs.listening.transforms.deliveries import (
    first_deliveries,
    first_of_repeated,
    repeated_events,
)
from music_lakehouse.defs.listening.transforms.listens import cleaned_listens
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.lake import Lake, Rows
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.query import evaluated, fetched, keyed
from music_lakehouse.lakehouse.tables import Table

LISTENS, PAGE_VIEWS = BRONZE["listen_events"], BRONZE["page_view_events"]
STATUS_CHANGES = BRONZE["status_change_events"]
ALL_BRONZE = tuple(BRONZE.values())

# As many as can be sent to all tasks.
_MOST_REPEATED = 100_000


def new_events(lake: Lake, changes: Changes, table: Table) -> DataFrame:
    """The events of a bronze table among the changes, one row a new delivery; where deliveries were changed or removed,
    all that the changes touch, as they were and as they are."""
    change = changes.get(table)
    return lake.empty(table) if change is None else _shared_if_few(lake, f"new {change}", lambda: change.touched)


def new_listens(lake: Lake, changes: Changes) -> Rows:
    """`new_events` of listens, cleaned; where they are few, once for all steps, and here."""
    change = changes.get(LISTENS)
    if change is None or change.here is None:
        return cleaned_listens(new_events(lake, changes, LISTENS))
    return lake.once(f"cleaned {change}", lambda: cleaned_listens(change.touched).toArrow())


@dataclass(frozen=True)
class TouchedUsers:
    """The users that changes touch: few, and the change of few events, are here.

    `users` has a row for each of whom there is new evidence, or any at all where `whole` (`users.touched_users`);
    `evidence` is all of them, old and new, since the earliest of the new. Where it is the `whole` evidence, nothing
    that is known stands. `ids` (userId) has also those of whom there is no evidence any more; None: all users.
    """

    users: Rows
    evidence: Rows
    whole: bool
    ids: Rows | None

    def known(self, lake: Lake, table: Table) -> Rows:
        """The table's rows of the users."""
        return lake.read(table) if self.ids is None else keyed(lake, table, self.ids)

    def standing(self, known: Rows) -> Rows:
        """Of what is known of them that which new evidence adds to."""
        if not self.whole:
            return known
        return known.where("false") if isinstance(known, DataFrame) else known.schema.empty_table()


def touched_users(lake: Lake, changes: Changes, *, also: Table | None = None) -> TouchedUsers:
    """The users that changes of bronze touch; where not only events were added, those in changes of `also` too."""
    bronze = [change for table, change in changes.by_source.items() if table in ALL_BRONZE]
    name = ", ".join(map(str, bronze))
    if any(change.full for change in bronze):
        events = {table: lake.read(table) for table in ALL_BRONZE}
        present = _shared_if_few(lake, f"evidence {name}", lambda: _evidence(events))
        touched = lake.shared(f"touched {name}", lambda: lake.frame(_touched(lake, events)))
        return TouchedUsers(touched, present, True, None)
    if not changes.only_added(*ALL_BRONZE):
        more = changes.get(also) if also is not None else None
        rows = [change.touched.select("userId") for change in (*bronze, *([more] if more else []))]
        name = f"{name}, {more}"
        ids = lake.shared(f"ids {name}", lambda: reduce(DataFrame.union, rows).where("userId IS NOT NULL").distinct())
        events = {table: lake.read(table).join(F.broadcast(ids), "userId", "left_semi") for table in ALL_BRONZE}
        present = _shared_if_few(lake, f"evidence {name}", lambda: _evidence(events))
        touched = lake.shared(f"touched {name}", lambda: lake.frame(_touched(lake, events)))
        return TouchedUsers(touched, present, True, ids)
    added = {change.source: change.found_touched for change in bronze}
    new: Rows
    if any(isinstance(rows, DataFrame) for rows in added.values()):
        new = lake.shared(f"touched {name}", lambda: lake.frame(_touched(lake, added)))
        recent = _recent_evidence(lake, new)
    else:
        new = lake.once(f"touched {name}", lambda: _touched(lake, added))
        recent = lake.once(f"evidence {name}", lambda: _recent_evidence(lake, new))
    return TouchedUsers(new, recent, False, evaluated(lake, "SELECT userId FROM {new}", new=new))


def once_each(lake: Lake, listens: DataFrame, *, greatest: Sequence[str] = ()) -> DataFrame:
    """`first_deliveries` of bronze's listens, all or some, in bronze's or other columns."""
    if lake.small:
        return first_deliveries(listens, greatest=greatest)
    repeated = lake.shared(f"repeated {lake.state(LISTENS)}", lambda: repeated_events(lake.read(LISTENS)))
    few = repeated.limit(_MOST_REPEATED + 1).count()
    if few == 0:
        return listens
    if few <= _MOST_REPEATED:
        return first_of_repeated(listens, repeated, greatest=greatest)
    return first_deliveries(listens, greatest=greatest)


def _shared_if_few(lake: Lake, name: str, build: Callable[[], DataFrame]) -> DataFrame:
    # Few rows are read once for all steps. Of many, each step reads the columns that it needs: that is less.
    return lake.shared(name, build) if lake.small else build()


def _touched(lake: Lake, events: Mapping[Table, Rows]) -> Rows:
    """The users of bronze's events."""
    named: dict[str, Any] = {table.name: rows for table, rows in events.items()}
    named = named or {LISTENS.name: LISTENS.arrow_schema.empty_table()}
    shown = (users.when_shown(f"{{{name}}}", status_changes=name == STATUS_CHANGES.name) for name in named)
    return evaluated(lake, users.TOUCHED_USERS.format(evidence=f"({' UNION ALL '.join(shown)})"), **named)


def _recent_evidence(lake: Lake, touched: Rows) -> Rows:
    """All evidence of the touched users since the earliest of the new; here, if its events are few."""
    first = evaluated(lake, "SELECT min(since) AS since FROM {touched}", touched=touched)
    [earliest] = fetched(first)["since"].to_pylist()
    if earliest is None:
        return _none(lake)
    # What a status change shows holds from a millisecond after it.
    since = Moments.since("timestamp", earliest - timedelta(milliseconds=1))
    ids = evaluated(lake, "SELECT userId FROM {touched}", touched=touched)
    newest = {table: delta.greatest(lake.open(table), "timestamp") for table in ALL_BRONZE}
    recent = {
        table: keyed(lake, table, ids, since, columns=users.EVIDENCE)
        for table in ALL_BRONZE
        if newest[table] is not None and newest[table] >= since.first
    }
    some = {t: lake.frame(rows) for t, rows in recent.items() if isinstance(rows, DataFrame) or rows.num_rows}
    evidence = _evidence(some) if some else _none(lake)
    return evidence if any(isinstance(rows, DataFrame) for rows in recent.values()) else evidence.toArrow()


def _evidence(events: Mapping[Table, DataFrame]) -> DataFrame:
    shown = [
        users.evidence_of_status_changes(rows) if table is STATUS_CHANGES else users.evidence(rows)
        for table, rows in events.items()
    ]
    return reduce(DataFrame.unionByName, shown)


def _none(lake: Lake) -> DataFrame:
    return users.evidence(lake.empty(LISTENS))
