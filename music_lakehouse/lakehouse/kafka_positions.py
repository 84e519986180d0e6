"""How far each topic has been read, and what was accepted as lost: what resuming, the sensor and the laws go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.kafka import Topic
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import Record, append_records, read_records, replace_records
from music_lakehouse.lakehouse.tables import Column, Table

MESSAGE = ("kafka_topic_id", "kafka_partition", "kafka_offset")
"""What tells a message from all others."""

KAFKA_POSITIONS = Table(
    layer="metrics",
    name="kafka_positions",
    description="One row a (topic id, partition): the offset up to which its messages were read into the raw table. "
    "Offsets that leave no row (control records, compacted and aborted messages) count as read.",
    columns=(
        Column("kafka_topic", "STRING", "the topic's name on the broker"),
        Column("kafka_topic_id", "STRING", "the broker's id of the topic: a topic made anew has another"),
        Column("kafka_partition", "INT", "the partition"),
        Column("next_offset", "BIGINT", "the first offset that was not read yet"),
        Column("raw_table_id", "STRING", "the Delta table id of the raw table that holds the messages"),
        Column("raw_version", "BIGINT", "the raw table's version when this was recorded"),
        Column("recorded_at", "TIMESTAMP", "when this was recorded"),
    ),
    key=("kafka_topic_id", "kafka_partition"),
    partition_by=("kafka_topic",),
)

ACCEPTED_LOSS = Table(
    layer="metrics",
    name="accepted_loss",
    description="One row a gap in a topic that was accepted: messages that were never read and cannot be any more.",
    columns=(
        Column("kafka_topic", "STRING", "the topic's name on the broker"),
        Column("kafka_topic_id", "STRING", "the id of the topic whose messages are lost"),
        Column("kafka_partition", "INT", "the partition; null where a whole topic was replaced and its end is unknown"),
        Column("from_offset", "BIGINT", "the first offset that was not read"),
        Column("to_offset", "BIGINT", "the first offset behind the gap; null where it is unknown"),
        Column("reason", "STRING", "why the messages cannot be read"),
        Column("accepted_at", "TIMESTAMP", "when the loss was accepted"),
    ),
    key=("kafka_topic_id", "kafka_partition", "from_offset"),
)


ERASED = Table(
    layer="metrics",
    name="erased",
    description="One row a message that was erased from the lake: it is not read again, and no loss. It names nobody.",
    columns=(
        Column("kafka_topic", "STRING", "the topic's name on the broker"),
        Column("kafka_topic_id", "STRING", "the broker's id of the topic"),
        Column("kafka_partition", "INT", "the partition"),
        Column("kafka_offset", "BIGINT", "the offset in the partition"),
        Column("erased_at", "TIMESTAMP", "when this was recorded: before the message was removed"),
    ),
    key=MESSAGE,
    partition_by=("kafka_topic",),
)


class MessagesLostError(RuntimeError):
    """Messages that were never read are gone from the broker."""


Place = tuple[str, int]
"""A topic id and a partition."""


def read_up_to(lake: LakePaths, table: Table, topic: Topic) -> dict[int, int]:
    """By partition, the first offset of the topic that the raw table lacks: by the recorded positions or by its rows,
    whichever is further. Partitions that were never read are absent."""
    places, _ = _places(lake, table, topic.name)
    return {partition: offset for (topic_id, partition), offset in places.items() if topic_id == topic.topic_id}


def record_rows(lake: LakePaths, table: Table, topic: Topic) -> None:
    """Record the positions that the raw table's rows show, where they are ahead: a run was killed after the table's
    commit, or the record was deleted."""
    places, recorded = _places(lake, table, topic.name)
    if not recorded:
        _record(lake, table, topic.name, places)


def record_read_up_to(lake: LakePaths, table: Table, topic: Topic, offsets: dict[int, int]) -> None:
    """Remember, after the raw table's commit, that the topic was read up to these offsets. Positions of earlier topics
    of that name are kept."""
    earlier = {
        (row["kafka_topic_id"], row["kafka_partition"]): row["next_offset"]
        for row in read_records(lake, KAFKA_POSITIONS, partition=topic.name)
        if row["kafka_topic_id"] != topic.topic_id
    }
    now = {(topic.topic_id, partition): offset for partition, offset in offsets.items()}
    _record(lake, table, topic.name, {**earlier, **now})


def forget_read(lake: LakePaths, table: Table) -> None:
    """Forget how far topics were read into the raw table: then its rows alone tell."""
    state = lake.state(table)
    if state is None:
        return
    rows = read_records(lake, KAFKA_POSITIONS)
    for topic in {row["kafka_topic"] for row in rows if row["raw_table_id"] == state.table_id}:
        of_others = [row for row in rows if row["kafka_topic"] == topic and row["raw_table_id"] != state.table_id]
        replace_records(lake, KAFKA_POSITIONS, of_others, partition=topic)


def record_erased(lake: LakePaths, messages: Iterable[Record]) -> None:
    """Remember, before they are removed, that the messages (rows of ERASED without a time) are erased."""
    known = {tuple(row[name] for name in ERASED.key) for row in read_records(lake, ERASED)}
    now = datetime.now(timezone.utc)
    rows = [row for row in messages if tuple(row[name] for name in ERASED.key) not in known]
    append_records(lake, ERASED, [{**row, "erased_at": now} for row in rows])


def erased_behind(lake: LakePaths, topic: Topic, starts: dict[int, int]) -> list[tuple[int, int]]:
    """Partition and offset of the topic's erased messages that a query would read that begins at these offsets."""
    return [
        (row["kafka_partition"], row["kafka_offset"])
        for row in read_records(lake, ERASED, partition=topic.name)
        if row["kafka_topic_id"] == topic.topic_id and row["kafka_offset"] >= starts.get(row["kafka_partition"], 0)
    ]


def settle(lake: LakePaths, table: Table) -> None:
    """Record how far topics were read into the raw table, whatever became of its rows since, as of its present version:
    for when its log is about to end there, or was made to."""
    found = lake.open(table)
    if found is None:
        return
    query = "SELECT DISTINCT kafka_topic FROM raw"
    names = {row["kafka_topic"] for row in pa.table(QueryBuilder().register("raw", found).execute(query)).to_pylist()}
    table_id = delta.state_of(found).table_id
    names |= {row["kafka_topic"] for row in read_records(lake, KAFKA_POSITIONS) if row["raw_table_id"] == table_id}
    for name in sorted(names):
        places, recorded = _places(lake, table, name)
        if not recorded:
            _record(lake, table, name, places)


def move_on(lake: LakePaths, table: Table, before: int) -> None:
    """Record that what was recorded as of the raw table's version `before` holds of its present one: no message came
    between them, and the log doesn't tell any more."""
    state = lake.state(table)
    if state is None or state.version == before:
        return
    rows = read_records(lake, KAFKA_POSITIONS)
    own = [row for row in rows if row["raw_table_id"] == state.table_id and row["raw_version"] == before]
    for topic in {row["kafka_topic"] for row in own}:
        of_topic = [row for row in rows if row["kafka_topic"] == topic]
        moved = [{**row, "raw_version": state.version} if row in own else row for row in of_topic]
        replace_records(lake, KAFKA_POSITIONS, moved, partition=topic)


def find_losses(lake: LakePaths, table: Table, topic: Topic, *, version: int | None = None) -> list[dict[str, object]]:
    """Gaps between what was read and what the broker still holds, as rows of `metrics.accepted_loss` without a time;
    those that there were if the raw table was put back to a version.

    A gap is an offset range that expired before it was read, a topic that ends before what was read of it, or a topic
    of the same name with another id, unless it was accepted before.
    """
    losses: list[dict[str, object]] = []
    places = _places(lake, table, topic.name)[0] if version is None else _places_at(lake, table, topic.name, version)
    accepted = _accepted(lake, topic.name)
    done = {(row["kafka_topic_id"], row["kafka_partition"], row["from_offset"]) for row in accepted}
    given_up = _given_up(accepted)

    def add(topic_id: str, partition: int, first: int, end: int | None, reason: str) -> None:
        losses.append(
            {
                "kafka_topic": topic.name,
                "kafka_topic_id": topic_id,
                "kafka_partition": partition,
                "from_offset": first,
                "to_offset": end,
                "reason": reason,
            }
        )

    for (topic_id, partition), position in sorted(places.items()):
        if topic_id != topic.topic_id and (topic_id, partition, position) not in done:
            add(topic_id, partition, position, None, f"the topic was made anew with id {topic.topic_id}")
    known = any(topic_id == topic.topic_id for topic_id, _ in places)
    for partition, (first, end) in topic.offsets.items():
        place = (topic.topic_id, partition)
        position = max(places.get(place, 0 if known else first), given_up.get(place, 0))
        if first > position:
            add(*place, position, first, "expired before it was read")
        elif end < position:
            add(*place, position, end, f"the topic ends at {end}, before what was read of it")
    return losses


def check_nothing_lost(lake: LakePaths, table: Table, topic: Topic) -> None:
    """Raise MessagesLostError, naming topic, partition and offsets, where messages were lost and this was not
    accepted.
    """
    losses = find_losses(lake, table, topic)
    _check_not_cut_short(table, topic, losses)
    if losses:
        raise MessagesLostError(
            f"messages of topic {topic.name} are gone from the broker before they were read: {in_words(losses)}. "
            f"To go on without them: music-lakehouse accept-loss {topic.name}"
        )


def _check_not_cut_short(table: Table, topic: Topic, losses: Iterable[dict[str, Any]]) -> None:
    """A broker that lost the end of its log, as at a power cut, gives what comes next offsets that it gave before."""
    cut = [loss for loss in losses if loss["to_offset"] is not None and loss["to_offset"] < loss["from_offset"]]
    if cut:
        raise MessagesLostError(
            f"topic {topic.name} was cut short: {in_words(cut)}. New messages would get offsets that {table.full_name} "
            f"has already. To go on: delete topic {topic.name} on the broker, create it again, then music-lakehouse "
            f"accept-loss {topic.name}"
        )


def in_words(losses: Iterable[Mapping[str, object]]) -> str:
    """The gaps, each with its partition, its offsets and its reason."""
    return "; ".join(
        f"partition {loss['kafka_partition']}: offsets {loss['from_offset']} to {loss['to_offset'] or 'unknown'} "
        f"of topic id {loss['kafka_topic_id']} ({loss['reason']})"
        for loss in losses
    )


def count_unreadable(lake: LakePaths, table: Table, topic: Topic, version: int) -> int:
    """How many messages of the topic the raw table has that it lacked at the version and that the broker no longer
    holds."""
    found = lake.open(table)
    then = _places_at(lake, table, topic.name, version)
    gone = []
    for (topic_id, partition), read in _places(lake, table, topic.name)[0].items():
        first, _ = topic.offsets.get(partition, (read, read)) if topic_id == topic.topic_id else (read, read)
        gone.append(
            f"(kafka_topic_id = '{topic_id}' AND kafka_partition = {partition} "
            f"AND kafka_offset >= {then.get((topic_id, partition), 0)} AND kafka_offset < {first})"
        )
    if found is None or not gone:
        return 0
    query = f"SELECT count(*) AS messages FROM raw WHERE {' OR '.join(gone)}"
    [row] = pa.table(QueryBuilder().register("raw", found).execute(query)).to_pylist()
    return int(row["messages"])


def accept_losses(lake: LakePaths, table: Table, topic: Topic) -> list[dict[str, object]]:
    """Record the present gaps as accepted and return them; reading then goes on behind them. Raises MessagesLostError
    where the topic was cut short."""
    losses = find_losses(lake, table, topic)
    _check_not_cut_short(table, topic, losses)
    now = datetime.now(timezone.utc)
    append_records(lake, ACCEPTED_LOSS, [{**loss, "accepted_at": now} for loss in losses])
    return losses


def epoch(lake: LakePaths, topic: Topic) -> int:
    """How many gaps of the topic were accepted: a checkpoint made before one can't go on behind it."""
    return len(_accepted(lake, topic.name))


def epochs(lake: LakePaths) -> dict[str, int]:
    """The same of every topic of which anything is recorded, by its id."""
    accepted = read_records(lake, ACCEPTED_LOSS)
    gaps = Counter(row["kafka_topic"] for row in accepted)
    known = [*accepted, *read_records(lake, KAFKA_POSITIONS)]
    return {row["kafka_topic_id"]: gaps[row["kafka_topic"]] for row in known}


def starting_offsets(lake: LakePaths, table: Table, topic: Topic) -> dict[int, int]:
    """Where a query without a checkpoint has to begin, for every partition: behind what was read or accepted as
    lost.
    """
    read = read_up_to(lake, table, topic)
    return {
        partition: min(max(read.get(partition, first), first), end) for partition, (first, end) in topic.offsets.items()
    }


def _places(lake: LakePaths, table: Table, topic_name: str) -> tuple[dict[Place, int], bool]:
    """The first offset not read yet, of all topics that had this name; and whether all that is recorded."""
    state = lake.state(table)
    if state is None:
        return {}, True
    rows = [
        row
        for row in read_records(lake, KAFKA_POSITIONS, partition=topic_name)
        if row["raw_table_id"] == state.table_id
    ]
    places: dict[Place, int] = {(row["kafka_topic_id"], row["kafka_partition"]): row["next_offset"] for row in rows}
    recorded = min((row["raw_version"] for row in rows), default=None)
    if recorded == state.version:
        return places, True
    of_rows = _offsets_in_rows(lake.open(table), topic_name, recorded)
    return {place: max(places.get(place, 0), of_rows.get(place, 0)) for place in places | of_rows}, False


def _places_at(lake: LakePaths, table: Table, topic_name: str, version: int) -> dict[Place, int]:
    """By the rows of that version alone, the first offset not read then."""
    found = delta.open_table(lake.path(table))
    if found is not None:
        found.load_as_version(version)
    return _offsets_in_rows(found, topic_name, None)


def _record(lake: LakePaths, table: Table, topic_name: str, places: dict[Place, int]) -> None:
    state = lake.state(table)
    if state is None:
        raise LookupError(f"{table.full_name} does not exist: positions are recorded after its commit")
    now = datetime.now(timezone.utc)
    rows = [
        {
            "kafka_topic": topic_name,
            "kafka_topic_id": topic_id,
            "kafka_partition": partition,
            "next_offset": offset,
            "raw_table_id": state.table_id,
            "raw_version": state.version,
            "recorded_at": now,
        }
        for (topic_id, partition), offset in sorted(places.items())
    ]
    replace_records(lake, KAFKA_POSITIONS, rows, partition=topic_name)


def _accepted(lake: LakePaths, topic_name: str) -> list[dict[str, Any]]:
    return [row for row in read_records(lake, ACCEPTED_LOSS) if row["kafka_topic"] == topic_name]


def _given_up(accepted: list[dict[str, Any]]) -> dict[Place, int]:
    """The first offset behind the gaps that were accepted."""
    ends: dict[Place, int] = {}
    for row in accepted:
        place = (row["kafka_topic_id"], row["kafka_partition"])
        ends[place] = max(ends.get(place, 0), row["to_offset"] or 0)
    return ends


def _offsets_in_rows(table: DeltaTable | None, topic_name: str, since: int | None) -> dict[Place, int]:
    """The first offset behind the raw table's rows of the topic, or behind those after its version `since`, as far as
    its log reaches back to it."""
    if table is None:
        return {}
    if since is None or delta.commits_after(table, since, table.version()) is None:
        query = (
            "SELECT kafka_topic, kafka_topic_id, kafka_partition, max(kafka_offset) AS kafka_offset_max FROM raw "
            "GROUP BY kafka_topic, kafka_topic_id, kafka_partition"
        )
        newest = pa.table(QueryBuilder().register("raw", table).execute(query))
    else:
        columns = [*_PLACE_COLUMNS, "kafka_offset"]
        feed = pa.table(table.load_cdf(starting_version=since + 1, columns=columns, allow_out_of_range=True))
        newest = feed.group_by(_PLACE_COLUMNS).aggregate([("kafka_offset", "max")])
    return {
        (row["kafka_topic_id"], row["kafka_partition"]): row["kafka_offset_max"] + 1
        for row in newest.to_pylist()
        if row["kafka_topic"] == topic_name
    }


_PLACE_COLUMNS = ["kafka_topic", "kafka_topic_id", "kafka_partition"]
