"""What several steps take from bronze: computed once a run, however many steps use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pyspark.sql import DataFrame

from music_lakehouse.defs.listening.tables import BRONZE
from music_lakehouse.defs.listening.transforms import users
from music_lakehouse.defs.listening.transforms.listens import CLEANED_LISTENS, NUMBERS, TEXTS
from music_lakehouse.defs.listening.transforms.text import cleaned_texts, shown_numbers
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.lake import Lake, Rows
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.query import (
    View,
    as_frame,
    distinct,
    evaluated,
    evaluated_long,
    fetched,
    keyed,
    looked_up,
)
from music_lakehouse.lakehouse.tables import Table

LISTENS, PAGE_VIEWS = BRONZE["listen_events"], BRONZE["page_view_events"]
STATUS_CHANGES = BRONZE["status_change_events"]
ALL_BRONZE = tuple(BRONZE.values())


def of_listens(lake: Lake, listens: Rows | Table, sql: str, **more: Any) -> Rows:
    """What the query gives of cleaned listens, `{told}`, and of others: of these rows of bronze's table, or of all of
    them."""
    return evaluated(lake, _cleaned(sql), **_cleaning(lake, listens), **more)


def of_all_listens(lake: Lake, sql: str, **more: Any) -> Rows | View:
    """The same of all of bronze's listens, where what it gives may be as long as they are."""
    return evaluated_long(lake, _cleaned(sql), **_cleaning(lake, LISTENS), **more)


def _cleaned(sql: str) -> str:
    return sql.replace("{told}", f"({CLEANED_LISTENS})")


def _cleaning(lake: Lake, listens: Rows | Table) -> dict[str, Any]:
    """What CLEANED_LISTENS asks for."""
    texts = _looked_up(lake, "texts", TEXTS, cleaned_texts, listens=listens)
    numbers = _looked_up(lake, "numbers", NUMBERS, shown_numbers, listens=listens)
    return {"listens": listens, "texts": texts, "numbers": numbers}


def new_listens(changes: Changes) -> Rows:
    """The rows of bronze's listens among the changes, one a new delivery; where deliveries were changed or removed, all
    that the changes touch, as they were and as they are."""
    change = changes.get(LISTENS)
    return LISTENS.arrow_schema.empty_table() if change is None else change.found_touched


def _looked_up(lake: Lake, name: str, sql: str, function: Callable[[DataFrame], DataFrame], **events: Any) -> Rows:
    """What the function gives of what the query finds in events: of whole tables once a run."""
    if all(isinstance(rows, Table) for rows in events.values()):
        versions = ", ".join(f"{table}" for table in map(lake.state, events.values()))
        sent = lake.once(f"{name} of {versions}", lambda: evaluated(lake, sql, **events))
    else:
        sent = evaluated(lake, sql, **events)
    return looked_up(lake, name, sent, function)


@dataclass(frozen=True)
class TouchedUsers:
    """The users that changes touch: few, and the change of few events, are here.

    `users` has a row for each of whom there is new evidence, or any at all where `whole` (`users.touched_users`);
    `evidence` is all of them, old and new, since the earliest of the new. Where it is the `whole` evidence, nothing
    that is known stands. `ids` (userId) has also those of whom there is no evidence any more; None: all users.
    """

    users: Rows
    evidence: Rows | View
    whole: bool
    ids: Rows | None

    def known(self, lake: Lake, table: Table) -> Rows:
        """The table's rows of the users."""
        if self.ids is not None:
            return keyed(lake, table, self.ids)
        held = evaluated_long(lake, f"SELECT {', '.join(table.column_names)} FROM {{held}}", held=table)
        return as_frame(lake, held) if isinstance(held, View) else held

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
        whole = {table: table for table in ALL_BRONZE}
        present = lake.once(f"evidence {name}", lambda: _evidence(lake, whole))
        touched = _kept(lake, f"touched {name}", lambda: _touched(lake, whole))
        return TouchedUsers(touched, present, True, None)
    if not changes.only_added(*ALL_BRONZE):
        more = changes.get(also) if also is not None else None
        rows = [change.found_touched for change in (*bronze, *([more] if more else []))]
        name = f"{name}, {more}"
        ids = _kept(lake, f"ids {name}", lambda: distinct(lake, "userId", *rows))
        events = {table: keyed(lake, table, ids, columns=users.EVIDENCE) for table in ALL_BRONZE}
        present = _kept(lake, f"evidence {name}", lambda: _evidence(lake, events))
        touched = _kept(lake, f"touched {name}", lambda: _touched(lake, events))
        return TouchedUsers(touched, present, True, ids)
    added = {change.source: change.found_touched for change in bronze}
    new = _kept(lake, f"touched {name}", lambda: _touched(lake, added))
    recent = lake.once(f"evidence {name}", lambda: _recent_evidence(lake, new))
    return TouchedUsers(new, recent, False, evaluated(lake, "SELECT userId FROM {new}", new=new))


def _kept(lake: Lake, name: str, find: Callable[[], Rows]) -> Rows:
    """The rows, found once a run; those of Spark's are computed once, too."""
    rows = lake.once(name, find)
    return lake.shared(name, lambda: rows) if isinstance(rows, DataFrame) else rows


def _touched(lake: Lake, events: Mapping[Table, Rows | Table]) -> Rows:
    """The users of bronze's events."""
    named = _named(events)
    shown = (users.when_shown(f"{{{name}}}", status_changes=name == STATUS_CHANGES.name) for name in named)
    return evaluated(lake, users.TOUCHED_USERS.format(evidence=f"({' UNION ALL '.join(shown)})"), **named)


def _evidence(lake: Lake, events: Mapping[Table, Rows | Table]) -> Rows | View:
    """What bronze's events show of their users."""
    named = _named(events)
    names = f"SELECT DISTINCT text FROM ({' UNION ALL '.join(users.names(f'{{{name}}}') for name in named)}) AS names"
    texts = _looked_up(lake, "texts", f"{names} WHERE text IS NOT NULL", cleaned_texts, **named)
    shown = (users.evidence(f"{{{name}}}", status_changes=name == STATUS_CHANGES.name) for name in named)
    return evaluated_long(lake, " UNION ALL ".join(shown), texts=texts, **named)


def _named(events: Mapping[Table, Rows | Table]) -> dict[str, Any]:
    """The events by their tables' names; of listens, none, where there are no others."""
    return {table.name: rows for table, rows in events.items()} or {LISTENS.name: LISTENS.arrow_schema.empty_table()}


def _recent_evidence(lake: Lake, touched: Rows) -> Rows | View:
    """All evidence of the touched users since the earliest of the new; here, if its events are few."""
    first = evaluated(lake, "SELECT min(since) AS since FROM {touched}", touched=touched)
    [earliest] = fetched(first)["since"].to_pylist()
    if earliest is None:
        return _evidence(lake, {})
    # What a status change shows holds from a millisecond after it.
    since = Moments.since("timestamp", earliest - timedelta(milliseconds=1))
    ids = evaluated(lake, "SELECT userId FROM {touched}", touched=touched)
    newest = {table: delta.greatest(lake.open(table), "timestamp") for table in ALL_BRONZE}
    recent = {
        table: keyed(lake, table, ids, since, columns=users.EVIDENCE)
        for table in ALL_BRONZE
        if newest[table] is not None and newest[table] >= since.first
    }
    return _evidence(lake, {t: rows for t, rows in recent.items() if isinstance(rows, DataFrame) or rows.num_rows})
