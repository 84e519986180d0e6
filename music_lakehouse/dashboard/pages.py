"""The dashboard's two pages: what the questions answer, put on the screen. Each stays right while it is open: as soon
as a table has a new version, the page is drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from music_lakehouse.dashboard import charts, health, listening
from music_lakehouse.dashboard.answers import Versions, answer, versions_of
from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka_access import BrokerAccessError, BrokerUnavailableError
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.stream_figures import STREAMING
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.settings import Settings

LOOK_SECONDS = 5
LAG_SECONDS = 10
DAYS_AT_FIRST = 7
_HEALTH_TABLES = (*TABLES.values(), EXPECTATIONS, STREAMING)


def listening_page(state: str | None = None) -> None:
    """The page "Listening"; `state` is the one that is chosen at first."""
    lake = LakePaths(Settings().lake_uri)
    versions = versions_of(lake, listening.TABLES)
    st.title("Listening")
    _look_again(lake, listening.TABLES, versions)
    span: listening.Span | None = answer(listening.span_of, lake, versions)
    if span is None:
        st.info(
            f"There are no streams in the lake at {lake.root} yet. `make demo` simulates a week of them; "
            "`music-lakehouse run streaming_pipeline` takes what is in Kafka. They are shown as soon as they are there."
        )
        return
    filters = _chosen(span, state)

    def ask(question: Callable[[LakePaths, listening.Filters], pa.Table]) -> pa.Table:
        rows: pa.Table = answer(question, lake, versions, filters)
        return rows

    _figures(
        filters, span, ask(listening.streams_of_the_day), ask(listening.active_users), ask(listening.paid_conversion)
    )
    left, right = st.columns(2)
    with left:
        st.subheader("Listens by hour")
        st.altair_chart(charts.hours(ask(listening.streams_by_hour), filters.last), width="stretch")
    with right:
        st.subheader("Listens by state")
        by_state = ask(listening.streams_by_state)
        st.altair_chart(charts.state_map(by_state, filters.state), width="stretch")
        nowhere = sum(by_state.filter(pc.is_null(by_state["state"]))["streams"].to_pylist())
        st.caption(f"All states, {_days(filters)}; {nowhere:,} listens of no known state")
    left, right = st.columns(2)
    with left:
        st.subheader("Users by level and gender")
        st.altair_chart(charts.levels(ask(listening.users_by_level_and_gender)), width="stretch")
        st.caption(f"{_of(filters)}; who changed level counts for both")
    with right:
        st.subheader("Top artists")
        st.altair_chart(charts.ranking(ask(listening.top_artists), ["artistName"]), width="stretch")
        st.caption(_of(filters))
    st.subheader("Top songs")
    st.altair_chart(charts.ranking(ask(listening.top_songs), ["songName", "artistName"]), width="stretch")
    st.caption(_of(filters))


def _chosen(span: listening.Span, state: str | None) -> listening.Filters:
    """The filters that are chosen beside the page: the last week, of all states, at first."""
    with st.sidebar:
        names = sorted({*span.states, *([state] if state else [])})
        options = [None, *names]
        picked = st.selectbox(
            "State", options, index=options.index(state), format_func=lambda name: name or "All states"
        )
        begin = max(span.first, span.last - timedelta(days=DAYS_AT_FIRST - 1))
        # While the second day is being picked there is only the first.
        days: tuple[date, ...] = st.date_input(
            "Days (UTC)", (begin, span.last), min_value=span.first, max_value=span.last, format="YYYY-MM-DD"
        )
        first, last = (days[0], days[-1]) if days else (span.last, span.last)
        st.caption(
            f"Streams are there from {span.first} to {span.last}. The last of the days is the one that the page calls "
            "today."
        )
    return listening.filters_of(span, first, last, picked)


def _figures(
    filters: listening.Filters, span: listening.Span, streams: pa.Table, active: pa.Table, paid: pa.Table
) -> None:
    """The figures above the charts."""
    [day], [conversion] = streams.to_pylist(), paid.to_pylist()
    before, users = day["day_before"], {row["level"]: row["users"] for row in active.to_pylist()}
    whole = filters.until == filters.end
    until = "" if whole else f", up to {filters.until:%H:%M}"
    share = conversion["upgraded"] / conversion["free_users"] if conversion["free_users"] else None
    first, second, third = st.columns(3)
    first.metric(
        f"Streams on {filters.last}{until}",
        f"{day['streams']:,}",
        f"{day['streams'] / before - 1:+.1%} on the day before" if before else None,
        help="Compared with the day before up to the same time of day (UTC).",
    )
    first.caption(f"{before:,} the day before{until}" if before else "No streams the day before")
    second.metric(
        "Active users now",
        f"{sum(users.values()):,}",
        help="Users seen in the half hour up to the newest event in the lake, whichever the days.",
    )
    second.caption(
        f"{users.get('paid', 0):,} paid, {users.get('free', 0):,} free; newest stream {span.newest:%Y-%m-%d %H:%M}"
    )
    third.metric(
        "Paid conversion",
        "-" if share is None else f"{share:.1%}",
        help="Of the users who were on the free level in these days, those who went from free to paid in them.",
    )
    third.caption(f"{conversion['upgraded']:,} of {conversion['free_users']:,} free users, {_days(filters)}")


def _days(filters: listening.Filters) -> str:
    return f"on {filters.last}" if filters.first == filters.last else f"{filters.first} to {filters.last}"


def _of(filters: listening.Filters) -> str:
    return f"{filters.state or 'All states'}, {_days(filters)}"


def health_page() -> None:
    """The page "Is it well?"."""
    settings = Settings()
    lake = LakePaths(settings.lake_uri)
    versions = versions_of(lake, _HEALTH_TABLES)
    st.title("Is it well?")
    _look_again(lake, _HEALTH_TABLES, versions)
    if not any(versions):
        st.info(f"There are no tables in the lake at {lake.root} yet: `make demo` makes them, from simulated events.")
        return
    # Kafka may let itself be waited for: its place is kept, and the rest drawn first.
    kafka = st.container()
    failing: pa.Table = answer(health.failing_checks, lake, versions)
    st.subheader("Failing checks")
    if failing.num_rows:
        st.dataframe(failing, hide_index=True, width="stretch")
        st.caption("Checks and rules that more rows broke than they allow, when they were last evaluated")
    else:
        st.success("No check failed when it was last evaluated.")
    left, right = st.columns(2)
    with left:
        st.subheader("Quarantine by reason")
        refused: pa.Table = answer(health.quarantine_by_reason, lake, versions)
        if refused.num_rows:
            st.altair_chart(charts.reasons(refused), width="stretch")
            st.caption("A row counts for each of its reasons")
        else:
            st.success("Nothing is in quarantine.")
    with right:
        st.subheader("Rows an hour by table")
        st.altair_chart(charts.written(answer(health.rows_by_hour, lake, versions)), width="stretch")
        st.caption(f"Rows written, changed or removed, of each table in its last {health.COMMITS} commits")
    batches: pa.Table = answer(health.streaming, lake, versions)
    if batches.num_rows:
        st.subheader("Streaming queries")
        st.dataframe(batches.drop_columns(["query_run_id"]), hide_index=True, width="stretch")
        st.caption("The last micro-batch of each")
    st.subheader("Freshness")
    st.dataframe(answer(health.freshness, lake, versions), hide_index=True, width="stretch")
    with kafka:
        _lag(lake, settings)


@st.fragment(run_every=LAG_SECONDS)
def _lag(lake: LakePaths, settings: Settings) -> None:
    """What waits in Kafka, asked again and again."""
    st.subheader("Waiting in Kafka")
    try:
        topics = health.lag(lake, settings)
    except BrokerAccessError as error:
        st.info(f"Nobody knows what waits there. {error}")
        return
    except BrokerUnavailableError:
        st.info(
            f"No Kafka broker answers at {settings.kafka_bootstrap_servers}, so that nobody knows what waits there. "
            "`music-lakehouse broker start` starts the embedded one."
        )
        return
    for column, topic in zip(st.columns(max(1, topics.num_rows)), topics.to_pylist(), strict=False):
        waiting = topic["waiting"]
        column.metric(topic["topic"], "-" if waiting is None else f"{waiting:,}")
        column.caption("messages lost" if topic["state"] == "lost" else topic["state"])


@st.fragment(run_every=LOOK_SECONDS)
def _look_again(lake: LakePaths, tables: tuple[Table, ...], shown: Versions) -> None:
    """Draws the page anew as soon as a table has another version than the one that is shown."""
    if versions_of(lake, tables) != shown:
        st.rerun()
