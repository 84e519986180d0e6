"""`music-lakehouse demo`: everything once, on simulated events, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from music_lakehouse.cli.console import cell, say, show_table, size
from music_lakehouse.cli.progress import waiting

if TYPE_CHECKING:
    from music_lakehouse.cli.job_run import JobRun
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.broker import EmbeddedBroker

EXAMPLE = "Example: music-lakehouse demo"
JOB = "streaming_pipeline"
USERS, DIRTY, SEED = 200, 0.02, 1
CUSTOMERS_SCALE, CUSTOMERS_CHUNKS = 0.001, 4
HEART_RATE_FILES, HEART_RATE_RECORDINGS = 6, 500
CATALOGUE_STREAMS = 5_000

ANALYTICS = {
    "Top songs": """
        SELECT songName AS song, artistName AS artist, count(*) AS listens, count(DISTINCT userId) AS listeners
        FROM gold.wide_streams GROUP BY ALL ORDER BY listens DESC, song LIMIT 10
    """,
    "Activity by hour (UTC)": """
        SELECT hour(dateHour) AS hour, count(*) AS listens, bar(count(*), 0, max(count(*)) OVER (), 40) AS " "
        FROM gold.wide_streams GROUP BY hour ORDER BY hour
    """,
    "Users by level and gender": """
        SELECT level, gender, count(DISTINCT userId) AS users, count(*) AS listens
        FROM gold.wide_streams GROUP BY ALL ORDER BY ALL
    """,
    "Listens by state": """
        SELECT coalesce(state, '-') AS state, stateName, count(*) AS listens, count(DISTINCT userId) AS listeners
        FROM gold.wide_streams GROUP BY ALL ORDER BY listens DESC, state LIMIT 10
    """,
    "Sales by market segment, as it was at the order's time": """
        SELECT c_mktsegment AS segment, count(*) AS items, round(sum(net_revenue)) AS revenue
        FROM gold.fact_sales JOIN gold.dim_customer USING (dim_customer_id) GROUP BY ALL ORDER BY revenue DESC
    """,
    "People by falling heart rate": """
        SELECT patient_name AS person, mrn, avg_heartrate AS "mean, rounded up", count AS recordings
        FROM gold.heart_rate_by_patient ORDER BY avg_heartrate DESC, patient_name, mrn LIMIT 10
    """,
    "Streams by subscription, as it was at the stream's time": """
        SELECT subscription_type AS subscription, count(*) AS streams, sum(listen_duration) // 3600 AS hours
        FROM gold.catalogue_fact_stream LEFT JOIN gold.catalogue_dim_user USING (user_version_key)
        GROUP BY ALL ORDER BY streams DESC
    """,
}

NEXT = (
    ('music-lakehouse sql "SELECT * FROM gold.artist_popularity ORDER BY total_streams DESC LIMIT 5"', "ask anything"),
    ("music-lakehouse quarantine show", "what was refused"),
    ("music-lakehouse audit", "every law over every table"),
    ("music-lakehouse report", "the same as charts, in one HTML page"),
    ("make dashboard", "what is listened to, and whether the platform is well, in a browser"),
    ("make dev", "Kafka and Dagster's UI; then, in another terminal:"),
    ("music-lakehouse simulate --live 20", "events that a sensor takes on as they come"),
)


class Beside(NamedTuple):
    """A pipeline of another source than Kafka: its job, what it does, and what fills its source and says how much."""

    job: str
    what: str
    fill: Callable[[Settings], str]


def demo() -> None:
    """Simulate a week of music on an embedded Kafka broker, files that land and a SQL database; run the pipelines, show
    the tables.

    200 users, of whose messages 2 % have a fault. Run again, it takes up where it was: the events since the last demo.
    """
    from music_lakehouse.cli.embedded import embedded_broker
    from music_lakehouse.cli.run import finish, run_and_show
    from music_lakehouse.settings import Settings

    settings = Settings()
    embedded = embedded_broker(settings)
    ran = embedded.is_running()
    try:
        with waiting("Starting Kafka"):
            embedded.start()
            embedded.create_topics(settings.topics.values())
        say(f"Kafka is up at {embedded.bootstrap_servers}", style="bold")
        _simulate(settings, embedded)
        say(f"\n{JOB}: from Kafka to gold", style="bold")
        runs = [run_and_show(JOB, settings)]
        for pipeline in BESIDE:
            if runs[-1].success:
                say(f"\n{pipeline.job}: {pipeline.what}", style="bold")
                say(pipeline.fill(settings))
                runs.append(run_and_show(pipeline.job, settings))
        if runs[-1].success:
            _show(settings, runs[0])
    finally:
        if not ran:
            with waiting("Stopping Kafka"):
                embedded.stop()
    finish(runs[-1])


def _land_customers(settings: Settings) -> str:
    from music_lakehouse.simulator.customers.config import CustomersConfig
    from music_lakehouse.simulator.customers.simulation import land_customers

    config = CustomersConfig(scale=CUSTOMERS_SCALE, chunks=CUSTOMERS_CHUNKS, seed=SEED, dirty=DIRTY)
    landed = land_customers(settings.landing_root, config)
    return f"{len(landed)} files landed; {DIRTY:.0%} of their rows have a fault"


def _land_heart_rates(settings: Settings) -> str:
    from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
    from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates

    config = HeartRateConfig(files=HEART_RATE_FILES, recordings=HEART_RATE_RECORDINGS, seed=SEED, dirty=DIRTY)
    landed = land_heart_rates(settings.landing_root, config)
    return f"{len(landed)} files landed; {DIRTY:.0%} of their recordings have a fault"


def _change_catalogue(settings: Settings) -> str:
    from datetime import datetime, timezone

    from music_lakehouse.lakehouse.database import Database
    from music_lakehouse.simulator.catalogue_database import Counted, change, fill

    database = Database(settings.catalogue_database_url, setting="CATALOGUE_DATABASE_URL")
    if settings.catalogue_database_url != type(settings).model_fields["catalogue_database_url"].default:
        # Somebody's own, which nothing simulated belongs into.
        return f"{database.name} is taken as it is"
    counted = Counted()
    if not fill(database, counted, streams=CATALOGUE_STREAMS, seed=SEED, until=datetime.now(timezone.utc)):
        change(database, counted, streams=CATALOGUE_STREAMS // 10, seed=SEED)
    rows = sum(counts.new + counts.changed + counts.deleted for counts in counted.values())
    return f"{rows:,} rows of {database.name} were added, changed or deleted"


BESIDE = (
    Beside("customers_pipeline", "from CSV files to gold", _land_customers),
    Beside("heart_rate_pipeline", "from JSON files to gold", _land_heart_rates),
    Beside("catalogue_pipeline", "from a SQL database to gold", _change_catalogue),
)


def _simulate(settings: Settings, embedded: EmbeddedBroker) -> None:
    from music_lakehouse.cli.demo_stretch import next_stretch, record_sent
    from music_lakehouse.cli.sending import Sent, send, show_sent
    from music_lakehouse.simulator.config import SimulatorConfig
    from music_lakehouse.simulator.reference import write_reference
    from music_lakehouse.simulator.simulation import simulate

    write_reference(settings.reference_root)
    # Beside the messages that it tells of, so that it goes when they go.
    file = embedded.data / "demo.json"
    stretch = next_stretch(file)
    if stretch is None:
        say("No events to simulate: the last demo was less than a minute ago")
        return
    span = f"from {cell(stretch.first)} to {cell(stretch.last)} UTC"
    say(f"Simulating {USERS} users {span}; {DIRTY:.0%} of the messages have a fault")
    config = SimulatorConfig(users=USERS, start=stretch.first, days=stretch.days, seed=SEED, dirty=DIRTY)
    sent = Sent()
    send(simulate(config), settings, directory=None, sent=sent)
    record_sent(file, stretch)
    show_sent(sent, settings, directory=None)


def _show(settings: Settings, done: JobRun) -> None:
    from music_lakehouse.cli.quarantine import show_counts
    from music_lakehouse.cli.query import query
    from music_lakehouse.lakehouse.inventory import figures, find_tables

    root = settings.lake_uri
    found = {name: figures(uri) for name, uri in find_tables(root).items()}
    rows = [(name, table.rows, size(table.size)) for name, table in found.items() if table is not None]
    say("")
    show_table(("table", "rows", "size"), rows, right=("rows", "size"), title="Tables")
    show_counts(root)
    for title, statement in ANALYTICS.items():
        with query(root, statement) as result:
            show_table(result.columns, list(result.rows), right=result.numeric, title=title)
    _show_rate(done)
    say("What to type next", style="bold")
    for line, what in NEXT:
        say(f"  {line}   # {what}")


def _show_rate(done: JobRun) -> None:
    """How many events the run took through all tables a second; a page view and its listen are one event."""
    raw = {name: table for step in done.steps for name, table in step.tables.items() if name.startswith("raw.")}
    messages = sum(table.get("rows_inserted", 0) for table in raw.values())
    events = raw.get("raw.page_view_events", {}).get("rows_inserted", 0)
    if events:
        rate = events / done.seconds
        say(
            f"{messages:,} messages of {events:,} events went through all tables in {done.seconds:.1f} s, Spark's "
            f"start included: {rate:{',.0f' if rate >= 10 else '.2g'}} events a second. `make bench` measures "
            "a million, warm"
        )
    else:
        say(f"Nothing was new; the run took {done.seconds:.1f} s, Spark's start included")
