"""What the listening tables are checked for: their expectations and the laws, as SQL over what a run touched.

`touched` are the rows that the run wrote, `current` the table (of a table by day, the touched days). The audit
evaluates the same over everything, and compares keys there, where a run counts rows.
"""

from __future__ import annotations

from music_lakehouse.defs.listening import gold_tables as gold
from music_lakehouse.defs.listening import silver_tables as silver
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.common_checks import (
    key_is_there,
    key_is_unique,
    newest_time,
    of_all_rows,
    of_each_row,
    row_count,
    same_keys,
    scd2_checks,
)
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka_positions import ACCEPTED_LOSS, ERASED, MESSAGE
from music_lakehouse.lakehouse.tables import Table


def _volume_usual(table: Table) -> Check:
    # Both: what comes at the usual rate is more after an hour without a run, and less in a micro-batch of a second.
    name = "volume_usual"
    return Check(
        name,
        "a run or micro-batch brings between a tenth and ten times as many messages as usual, in all or a second since "
        "the one before: the medians of the last ten that brought any, once there are three",
        f"""
        WITH evaluated AS (
            SELECT rows, epoch(evaluated_at) AS time,
                   rows / nullif(time - lag(time) OVER (ORDER BY time), 0) AS rate
            FROM "{EXPECTATIONS.full_name}" WHERE "table" = '{table.full_name}' AND rule = '{name}'
        ), earlier AS (
            SELECT count(*) AS runs, median(rows) AS usual, median(rate) AS usual_a_second
            FROM (SELECT * FROM evaluated WHERE rows > 0 ORDER BY time DESC LIMIT 10)
        ), this AS (
            SELECT (SELECT count(*) FROM touched) AS rows,
                   (SELECT epoch(now()) - max(time) FROM evaluated) AS seconds
        )
        SELECT rows, CASE WHEN runs >= 3 AND (
            rows * 10 < usual AND coalesce(rows * 10 < usual_a_second * seconds, true)
            OR rows > usual * 10 AND coalesce(rows > usual_a_second * seconds * 10, true)
        ) THEN rows ELSE 0 END AS failed,
               usual, round(usual_a_second, 3) AS usual_a_second, runs
        FROM this, earlier
        """,
        error=False,
    )


def _raw(topic: str) -> list[Check]:
    return [
        _volume_usual(RAW[topic]),
        Check(
            "no_offset_twice",
            "law 1: no message is there twice",
            """
            SELECT count(*) AS rows, count(*) - count(DISTINCT (kafka_topic_id, kafka_partition, kafka_offset)) AS
            failed FROM current SEMI JOIN (
                SELECT kafka_topic_id, kafka_partition, min(kafka_offset) AS first, max(kafka_offset) AS last
                FROM touched GROUP BY ALL
            ) AS read
            ON current.kafka_topic_id = read.kafka_topic_id AND current.kafka_partition = read.kafka_partition
            AND current.kafka_offset BETWEEN read.first AND read.last
            """,
        ),
        Check(
            "offsets_continuous",
            "the offsets that were read, and those before, have no gaps but by erasure and accepted loss (transactions "
            "and compaction leave some too)",
            f"""
            SELECT sum(span) AS rows, sum(span - messages - erased - lost) AS failed FROM (
                SELECT last - first + 1 AS span, messages, (
                    SELECT count(*) FROM "{ERASED.full_name}" AS e
                    WHERE e.kafka_topic_id = read.kafka_topic_id AND e.kafka_partition = read.kafka_partition
                    AND e.kafka_offset BETWEEN first AND last
                ) AS erased, (
                    SELECT coalesce(sum(greatest(least(to_offset, last + 1) - greatest(from_offset, first), 0)), 0)
                    FROM "{ACCEPTED_LOSS.full_name}" AS a
                    WHERE a.kafka_topic_id = read.kafka_topic_id AND a.kafka_partition = read.kafka_partition
                ) AS lost FROM (
                    SELECT kafka_topic_id, kafka_partition, max(kafka_offset) AS last,
                           coalesce(any_value(before.last) + 1, min(kafka_offset)) AS first,
                           count(DISTINCT kafka_offset) AS messages
                    FROM touched LEFT JOIN read_before AS before USING (kafka_topic_id, kafka_partition)
                    GROUP BY kafka_topic_id, kafka_partition
                ) AS read
            )
            """,
            error=False,
            audited=True,
        ),
        of_each_row(
            "looks_like_json",
            "messages look like a JSON object",
            r"value IS NULL OR NOT regexp_matches(value, '^\s*\{') OR NOT regexp_matches(value, '\}\s*$')",
            threshold=0.05,
            error=False,
        ),
    ]


def _bronze(topic: str) -> list[Check]:
    message, bronze = ", ".join(MESSAGE), BRONZE[topic].full_name
    return [
        *key_is_unique(BRONZE[topic]),
        Check(
            "raw_is_bronze_and_quarantine",
            "law 1: every raw message is in bronze or in quarantine",
            f"""
            SELECT raw AS rows, abs(raw - bronze - refused) AS failed, raw, bronze, refused FROM (
                SELECT {row_count(RAW[topic].full_name)} AS raw, {row_count(bronze)} AS bronze,
                       (SELECT count(*) FROM "{QUARANTINE.full_name}" WHERE topic = '{topic}') AS refused
            )
            """,
            whole=same_keys(
                message,
                expected=f'SELECT {message} FROM "{RAW[topic].full_name}"',
                found=f"SELECT {message} FROM current UNION ALL "
                f"SELECT {message} FROM \"{QUARANTINE.full_name}\" WHERE topic = '{topic}'",
            ),
        ),
        of_each_row(
            "nothing_rescued",
            "all fields are known and fit their types",
            "_rescued_data IS NOT NULL",
            threshold=0.05,
            error=False,
        ),
        Check(
            "delivered_once",
            "events are delivered once",
            """
            SELECT count(*) AS rows, count(*) - count(DISTINCT event_id) FILTER (WHERE NOT known) AS failed FROM (
                SELECT event_id, event_id IN (SELECT event_id FROM held_before) AS known FROM touched
            )
            """,
            threshold=0.05,
            error=False,
        ),
        Check(
            "newest_event_is_recent",
            "the newest event of the table is less than a day old (a replay of past events is not)",
            f"""
            SELECT 1 AS rows, CASE WHEN newest < now()::TIMESTAMP - INTERVAL 1 DAY THEN 1 ELSE 0 END AS failed,
                   newest::VARCHAR AS newest
            FROM (SELECT {newest_time(bronze)}::TIMESTAMP AS newest)
            """,
            error=False,
        ),
    ]


_PLAUSIBLE_PLACE = (
    "latitude NOT BETWEEN -90 AND 90 OR longitude NOT BETWEEN -180 AND 180 OR (latitude IS NULL) <> (longitude IS NULL)"
)
_SCD2 = scd2_checks(
    "user",
    law="law 4: ",
    key="userId",
    start="row_activation_date",
    end="row_expiration_date",
    open_end=f"TIMESTAMPTZ '{silver.OPEN_END}+00'",
    is_current="current_row = 1",
    shown=("level", "firstName", "lastName", "gender"),
)


def _resolves(key: str, dimension: Table) -> str:
    return f"""
        SELECT '{dimension.name}' AS dimension, count(*) AS missing FROM touched
        WHERE {key} IS NULL OR {key} NOT IN (SELECT {key} FROM "{dimension.full_name}")
    """


_KEYS_RESOLVE = " UNION ALL ".join(
    _resolves(key, dimension)
    for key, dimension in (
        ("userKey", silver.DIM_USERS),
        ("songKey", silver.DIM_SONGS),
        ("artistKey", silver.DIM_ARTISTS),
        ("locationKey", silver.DIM_LOCATION),
        ("dateKey", silver.DIM_DATETIME),
    )
)
_NAMED = r"nullif(trim(replace({}, '\', ''), ' \"'), '') IS NOT NULL".replace('\\"', '"')
_STREAMABLE = f"userId IS NOT NULL AND {_NAMED.format('song')} AND {_NAMED.format('artist')}"
_STREAMS = f'SELECT DISTINCT event_id FROM "{BRONZE["listen_events"].full_name}" WHERE {_STREAMABLE}'
_IN_TOUCHED_TIMES = 'EXISTS (FROM touched_times WHERE "timestamp" BETWEEN first AND last)'
_EVIDENCE = """
    SELECT userId, "timestamp", level FROM "bronze.listen_events"
    UNION ALL SELECT userId, "timestamp", level FROM "bronze.page_view_events"
    UNION ALL SELECT userId, "timestamp", level FROM "bronze.auth_events"
    UNION ALL SELECT userId, "timestamp" + INTERVAL 1 MILLISECOND, CASE level WHEN 'free' THEN 'paid' ELSE 'free' END
    FROM "bronze.status_change_events"
"""
_LEVELS = (
    "levels",
    f"""
    SELECT t.event_id, t.userKey, any_value(b.level) AS level, count(DISTINCT b.level) > 1 AS ambiguous
    FROM touched AS t JOIN ({_EVIDENCE}) AS b ON b.userId = t.userId AND b."timestamp" = t.ts
    GROUP BY t.event_id, t.userKey
    """,
)

CHECKS: dict[Table, list[Check]] = {
    **{RAW[topic]: _raw(topic) for topic in RAW},
    **{BRONZE[topic]: _bronze(topic) for topic in BRONZE},
    QUARANTINE: [
        of_each_row("has_a_reason", "every refused message has a reason", "reasons IS NULL OR len(reasons) = 0")
    ],
    silver.DIM_USERS: [
        *key_is_there(silver.DIM_USERS),
        *key_is_unique(silver.DIM_USERS),
        *_SCD2,
        of_each_row(
            "person_known",
            "users have a name and a gender",
            f"'{silver.UNKNOWN_NAME}' IN (firstName, lastName, gender)",
            threshold=0.05,
            error=False,
        ),
    ],
    silver.DIM_SONGS: [
        *key_is_there(silver.DIM_SONGS),
        *key_is_unique(silver.DIM_SONGS),
        of_each_row(
            "duration_plausible",
            "songs last between a second and an hour",
            "songKey <> 'unknown' AND (duration IS NULL OR duration NOT BETWEEN 1 AND 3600)",
            threshold=0.05,
            error=False,
        ),
        of_all_rows(
            "known_to_reference",
            "songs are in songs.csv",
            "songKey <> 'unknown' AND songId IS NULL",
            threshold=0.5,
            error=False,
        ),
    ],
    silver.DIM_ARTISTS: [
        *key_is_there(silver.DIM_ARTISTS),
        *key_is_unique(silver.DIM_ARTISTS),
        of_each_row("place_plausible", "coordinates are on the globe", _PLAUSIBLE_PLACE, threshold=0.01, error=False),
        of_all_rows(
            "known_to_reference",
            "artists are in songs.csv",
            f"artistKey <> '{silver.UNKNOWN_KEY}' AND artistId IS NULL",
            threshold=0.5,
            error=False,
        ),
    ],
    silver.DIM_LOCATION: [
        *key_is_there(silver.DIM_LOCATION),
        *key_is_unique(silver.DIM_LOCATION),
        of_each_row("place_plausible", "coordinates are on the globe", _PLAUSIBLE_PLACE, threshold=0.01, error=False),
        of_each_row(
            "state_known",
            "states are in state_codes.csv",
            f"locationKey <> 'unknown' AND stateName = '{silver.UNKNOWN_STATE}'",
            threshold=0.05,
            error=False,
        ),
    ],
    silver.DIM_DATETIME: [
        *key_is_there(silver.DIM_DATETIME),
        *key_is_unique(silver.DIM_DATETIME),
        of_each_row("whole_hours", "keys are whole hours", "dateKey % 3600 <> 0 OR epoch(date) <> dateKey"),
    ],
    silver.USER_PROFILES: [
        *key_is_there(silver.USER_PROFILES),
        *key_is_unique(silver.USER_PROFILES),
        of_each_row("seen_in_order", "a user is not last seen before first seen", "last_seen < first_seen"),
    ],
    silver.USER_SESSIONS: [
        *key_is_there(silver.USER_SESSIONS),
        *key_is_unique(silver.USER_SESSIONS),
        of_each_row(
            "figures_plausible",
            "a session ends after it starts, and has at least as many events as songs",
            "session_end < session_start OR events < songs OR events < 1 OR listened_seconds < 0",
        ),
    ],
    gold.FACT_STREAMS: [
        *key_is_there(gold.FACT_STREAMS),
        *key_is_unique(gold.FACT_STREAMS),
        Check(
            "keys_resolve",
            "law 3: every key is in its dimension",
            f"SELECT (SELECT count(*) FROM touched) AS rows, sum(missing) AS failed, "
            f"string_agg(dimension, ', ') FILTER (WHERE missing > 0) AS dimensions FROM ({_KEYS_RESOLVE})",
        ),
        Check(
            "all_streams_of_bronze",
            "law 2: facts are the distinct listen events with a user, a song and an artist",
            f"""
            SELECT streams AS rows, abs(streams - facts) AS failed, streams, facts FROM (
                SELECT (SELECT count(*) FROM ({_STREAMS} AND {_IN_TOUCHED_TIMES})) AS streams,
                       (SELECT count(*) FROM current) AS facts
            )
            """,
            whole=same_keys("event_id", expected=_STREAMS, found="FROM current"),
        ),
        Check(
            "level_of_the_time",
            "law 3: the version of the user has the level that the event carried",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (WHERE u.level <> l.level AND NOT ambiguous) AS failed
            FROM levels AS l JOIN "{silver.DIM_USERS.full_name}" AS u USING (userKey)
            """,
            given=(_LEVELS,),
        ),
        Check(
            "level_unambiguous",
            "law 3: what else the user did at the time of the event carries its level (else law 3 does not hold of it)",
            "SELECT count(*) AS rows, count(*) FILTER (WHERE ambiguous) AS failed FROM levels",
            error=False,
            audited=True,
            given=(_LEVELS,),
        ),
        of_each_row(
            "place_known",
            "events have a place",
            "locationKey = 'unknown'",
            threshold=0.2,
            error=False,
        ),
    ],
    gold.WIDE_STREAMS: [
        *key_is_there(gold.WIDE_STREAMS),
        *key_is_unique(gold.WIDE_STREAMS),
        Check(
            "row_for_row",
            "law 2: wide_streams has the rows of fact_streams",
            f"""
            SELECT facts AS rows, abs(facts - wide) AS failed, facts, wide
            FROM (SELECT {row_count("gold.fact_streams")} AS facts, {row_count("gold.wide_streams")} AS wide)
            """,
            whole=same_keys(
                "event_id", expected=f'SELECT event_id FROM "{gold.FACT_STREAMS.full_name}"', found="FROM current"
            ),
        ),
        of_each_row(
            "joined",
            "every stream found its user, song, artist and hour",
            "level IS NULL OR songName IS NULL OR artistName IS NULL OR dateHour IS NULL",
        ),
    ],
    **{
        table: [
            *key_is_unique(table),
            Check(
                "sum_is_facts",
                "law 5: total_streams add up to the facts",
                f"""
                SELECT facts AS rows, abs(facts - streams) AS failed, facts, streams FROM (
                    SELECT {row_count("gold.fact_streams")} AS facts,
                           (SELECT coalesce(sum(total_streams), 0) FROM "{table.full_name}") AS streams
                )
                """,
            ),
        ]
        for table in (gold.DAILY_USER_SUMMARY, gold.DAILY_LOCATION_SUMMARY, gold.ARTIST_POPULARITY)
    },
    gold.ACTIVE_USERS: [*key_is_there(gold.ACTIVE_USERS), *key_is_unique(gold.ACTIVE_USERS)],
}
"""The checks of each table, evaluated after each run over what it touched; those that are errors or `audited` also by
the job `audit`, over everything."""
