"""Whether the platform is well: questions to logs, bookkeeping and Kafka, each answered by a small Arrow table.

Times are UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone

import pyarrow as pa

from music_lakehouse.defs.catalog import CHECKS, QUARANTINES, RULES, TABLES, refused_source
from music_lakehouse.defs.listening.backlogs import find_backlogs
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.stream_figures import STREAMING
from music_lakehouse.settings import Settings

BROKER_SECONDS = 1.0
"""How long Kafka may take to answer: a page waits no longer for it."""
HOURS = 24
COMMITS = 300
"""How far back a table's log is read: a commit takes as long as another, however few rows it has."""
_LAST_COMMITS = 20
_EVENT_TIMES = ("kafka_timestamp", "timestamp", "ts", "last_seen", "session_end")

_MOMENT = pa.timestamp("ms", tz="UTC")
_LAG = pa.schema([("topic", pa.string()), ("waiting", pa.int64()), ("state", pa.string())])
_FRESHNESS = pa.schema(
    [
        ("table", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("version", pa.int64()),
        ("changed", _MOMENT),
        ("newest", _MOMENT),
    ]
)
_CHECKS = pa.schema(
    [
        ("table", pa.string()),
        ("check", pa.string()),
        ("kind", pa.string()),
        ("failed", pa.int64()),
        ("rows", pa.int64()),
        ("allowed", pa.float64()),
        ("evaluated", _MOMENT),
    ]
)
_QUARANTINE = pa.schema([("table", pa.string()), ("reason", pa.string()), ("rows", pa.int64())])
_REFUSED = pa.schema(
    [("pipeline", pa.string()), ("source", pa.string()), ("reason", pa.string()), ("rows", pa.int64())]
)
_WRITTEN = pa.schema([("table", pa.string()), ("hour", _MOMENT), ("rows", pa.int64())])


def lag(lake: LakePaths, settings: Settings) -> pa.Table:
    """One row a topic: `topic`, `waiting` (messages that its raw table lacks; null where there is no topic) and
    `state`: `read`, `waiting`, `not there yet`, or `lost` where messages are gone before they were read.

    Raises BrokerUnavailableError where Kafka doesn't answer within a second.
    """
    backlogs, missing = find_backlogs(lake, settings, timeout_seconds=BROKER_SECONDS)
    found = [
        (backlog.topic.name, backlog.unread, "lost" if backlog.lost else "waiting" if backlog.unread else "read")
        for backlog in backlogs
    ]
    return _table(_LAG, [*found, *((name, None, "not there yet") for name in missing)])


def freshness(lake: LakePaths) -> pa.Table:
    """One row a table that is there: `table`, `rows`, `bytes` (of the files that hold them), `version`, `changed` (the
    last commit that wrote rows; null where none of the last twenty did) and `newest` (the newest event, of tables of
    events), in the order in which data flows."""
    rows = []
    for name, table in TABLES.items():
        found = lake.open(table)
        if found is not None:
            written = (delta.committed_at(commit) for commit in found.history(_LAST_COMMITS) if delta.rows_of(commit))
            column = next((c for c in _EVENT_TIMES if c in table.column_names), None)
            newest = None if column is None else delta.greatest(found, column)
            size = sum(pa.table(found.get_add_actions())["size_bytes"].to_pylist())
            rows.append((name, int(found.count()), size, found.version(), next(written, None), newest))
    return _table(_FRESHNESS, rows)


def failing_checks(lake: LakePaths) -> pa.Table:
    """One row a check or rule that more rows broke than it allows when it was last evaluated: `table`, `check`, `kind`
    (of a rule warn, drop or fail; of a check warn or error), `failed` of `rows`, `allowed` (a share) and `evaluated`.
    What isn't declared any more is left out."""
    allowed = _allowed_shares()
    last = """
        SELECT "table", rule, unnest(max_by(
            struct_pack(action := action, failed := failed, rows := rows, evaluated_at := evaluated_at), evaluated_at
        )) FROM {expectations} GROUP BY "table", rule ORDER BY "table", rule
    """
    rows = []
    for row in query(lake, last, expectations=EXPECTATIONS).to_pylist():
        share = allowed.get((row["table"], row["rule"]))
        if share is not None and row["failed"] > share * row["rows"]:
            values = (row["action"], row["failed"], row["rows"], share, row["evaluated_at"])
            rows.append((row["table"], row["rule"], *values))
    return _table(_CHECKS, rows)


def quarantine_by_reason(lake: LakePaths) -> pa.Table:
    """One row a (quarantine table, reason): `table`, `reason`, `rows`. A row counts for each of its reasons."""
    sql = """
        SELECT reason, count(*) AS rows FROM (SELECT unnest(reasons) AS reason FROM {quarantine})
        GROUP BY reason ORDER BY rows DESC, reason
    """
    return _table(
        _QUARANTINE,
        [
            (table.full_name, row["reason"], row["rows"])
            for table in QUARANTINES.values()
            for row in query(lake, sql, quarantine=table).to_pylist()
        ],
    )


def quarantine_by_source(lake: LakePaths) -> pa.Table:
    """One row a (pipeline, source, reason): `pipeline`, `source` (the topic, the table, the directory of the file),
    `reason`, `rows`. A row counts for each of its reasons."""
    sql = """
        SELECT source, reason, count(*) AS rows FROM (
            SELECT {of} AS source, unnest(reasons) AS reason FROM {{quarantine}}
        )
        GROUP BY ALL ORDER BY ALL
    """
    return _table(
        _REFUSED,
        [
            (pipeline, row["source"], row["reason"], row["rows"])
            for pipeline, table in QUARANTINES.items()
            for row in query(lake, sql.format(of=refused_source(table)), quarantine=table).to_pylist()
        ],
    )


def streaming(lake: LakePaths) -> pa.Table:
    """One row a streaming query: the last of its micro-batches, with the columns of `metrics.streaming`."""
    last = """
        SELECT unnest(max_by(batch, batch.started_at)) FROM {streaming} AS batch
        GROUP BY batch."query" ORDER BY batch."query"
    """
    return query(lake, last, streaming=STREAMING)


def rows_by_hour(lake: LakePaths) -> pa.Table:
    """One row a (table, hour) with rows written, changed or removed, of the 24 hours up to the newest such commit:
    `table`, `hour`, `rows`. Of each table the last 300 commits count."""
    written: Counter[tuple[str, datetime]] = Counter()
    for name, table in TABLES.items():
        found = lake.open(table)
        for commit in found.history(COMMITS) if found is not None else ():
            rows = delta.rows_of(commit)
            if rows:
                written[name, delta.committed_at(commit).replace(minute=0, second=0, microsecond=0)] += rows
    newest = max((hour for _, hour in written), default=datetime.min.replace(tzinfo=timezone.utc))
    within = {key: rows for key, rows in written.items() if newest - key[1] < timedelta(hours=HOURS)}
    return _table(_WRITTEN, [(name, hour, rows) for (name, hour), rows in within.items()])


def _allowed_shares() -> Mapping[tuple[str, str], float]:
    """By table and name, the share of rows that may break a check or a rule."""
    of_checks = {(table.full_name, check.name): check.threshold for table, checks in CHECKS.items() for check in checks}
    of_rules = {(table.full_name, rule.name): rule.threshold for table, rules in RULES.items() for rule in rules}
    return {**of_rules, **of_checks}


def _table(schema: pa.Schema, rows: Iterable[tuple[object, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
