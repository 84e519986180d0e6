from __future__ import annotations

import copy
import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from music_lakehouse_tests.oracle.examples import ANNA, NOWHERE, event, listen, random_messages, tables
from music_lakehouse_tests.oracle.laws import laws
from music_lakehouse_tests.oracle.tables import TABLE_KEYS, tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

WHOLE = tables(
    [listen(0), listen(2000, 2, level="paid"), listen(9000, 3, level="paid", userId=8)],
    status_changes=[event(1000, 1, level="free", **ANNA), event(1000, 1)],
    auths=[{"ts": 1}],
)


def in_order(rows: list[Row]) -> list[str]:
    return sorted(repr(sorted(row.items(), key=lambda cell: cell[0])) for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_the_laws_hold_for_dirty_streams_and_arrival_makes_no_difference(seed: int) -> None:
    print(f"seed {seed}")
    messages = random_messages(seed, 400)
    tables = tables_of(messages, NOWHERE, NOWHERE)
    assert tables.keys() == TABLE_KEYS.keys()
    assert all(tables[name] for name in tables)
    assert laws(tables) == []
    random.Random(seed).shuffle(messages)
    shuffled = tables_of(messages, NOWHERE, NOWHERE)
    assert {name for name in tables if in_order(tables[name]) != in_order(shuffled[name])} == set()


def drop_raw(tables: Tables) -> None:
    del tables["raw.auth_events"][0]


def repeat_an_offset(tables: Tables) -> None:
    tables["raw.listen_events"].append(tables["raw.listen_events"][0])
    tables["bronze.listen_events"].append(tables["bronze.listen_events"][0])


def lose_from_quarantine(tables: Tables) -> None:
    tables["bronze.quarantine"].clear()


def lose_a_fact(tables: Tables) -> None:
    for name in ("gold.fact_streams", "gold.wide_streams"):
        del tables[name][0]


def double_a_wide_row(tables: Tables) -> None:
    tables["gold.wide_streams"] *= 2


def leave_wide_behind(tables: Tables) -> None:
    tables["gold.wide_streams"][0]["locationKey"] = "unknown"


def lose_a_song(tables: Tables) -> None:
    del tables["silver.dim_songs"][0]


def double_an_artist(tables: Tables) -> None:
    tables["silver.dim_artists"] *= 2


def swap_levels(tables: Tables) -> None:
    for row in tables["silver.dim_users"]:
        row["level"] = {"free": "paid", "paid": "free"}[row["level"]]


def open_a_gap(tables: Tables) -> None:
    tables["silver.dim_users"][0]["row_expiration_date"] -= timedelta(milliseconds=1)


def overlap(tables: Tables) -> None:
    tables["silver.dim_users"][0]["row_expiration_date"] += timedelta(milliseconds=1)


def lose_the_current_version(tables: Tables) -> None:
    tables["silver.dim_users"][1]["current_row"] = 0


def close_the_last_version(tables: Tables) -> None:
    tables["silver.dim_users"][1]["row_expiration_date"] -= timedelta(days=1)


def repeat_a_version(tables: Tables) -> None:
    tables["silver.dim_users"][1]["level"] = "free"


def give_a_version_no_length(tables: Tables) -> None:
    row = tables["silver.dim_users"][2]
    row["row_activation_date"] = row["row_expiration_date"]


def count_twice(tables: Tables) -> None:
    tables["gold.artist_popularity"][0]["total_streams"] += 1


@pytest.mark.parametrize(
    ("damage", "law"),
    [
        (drop_raw, "law 1: ('id-auth_events', 0, 0) is 0 times in raw, 1"),
        (repeat_an_offset, "law 1: raw holds ('id-listen_events', 0, 0) 2 times"),
        (lose_from_quarantine, "law 1: ('id-auth_events', 0, 0) is 1 times in raw, 0"),
        (lose_a_fact, "law 2: fact_streams holds"),
        (double_a_wide_row, "law 2: wide_streams holds"),
        (leave_wide_behind, "law 2: wide_streams says otherwise"),
        (lose_a_song, "law 3: silver.dim_songs lacks"),
        (double_an_artist, "law 3: silver.dim_artists holds"),
        (swap_levels, "law 3:"),
        (open_a_gap, "law 4: user 7 has a gap"),
        (overlap, "law 4: versions of user 7 overlap"),
        (lose_the_current_version, "law 4: user 7 lacks exactly one current version"),
        (close_the_last_version, "law 4: the last version of user 7 has an end"),
        (repeat_a_version, "law 4: user 7 changes nothing"),
        (give_a_version_no_length, "law 4: user 8 has a version without length"),
        (count_twice, "law 5: gold.artist_popularity counts 4 streams of 3"),
    ],
)
def test_each_law_is_seen_to_break(damage: Callable[[Tables], None], law: str) -> None:
    assert laws(WHOLE) == []
    broken = copy.deepcopy(WHOLE)
    damage(broken)
    assert any(each.startswith(law) for each in laws(broken)), laws(broken)


def test_evidence_that_contradicts_itself_at_one_millisecond_is_no_breach() -> None:
    assert laws(tables([listen(0, 0, level="free"), listen(0, 1, level="paid")])) == []
