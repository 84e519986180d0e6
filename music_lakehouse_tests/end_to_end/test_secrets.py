"""The platform with every secret that there is, over encrypted Kafka: the tables are right, and no secret is anywhere
in what it writes and says."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator

import dagster as dg
import pytest
from deltalake import DeltaTable

from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.sensors import kafka_observation_sensor, kafka_sensor
from music_lakehouse.lakehouse.inventory import find_tables
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import TOPICS, Settings
from music_lakehouse_tests.cli.conftest import Ran
from music_lakehouse_tests.cli.place import Place
from music_lakehouse_tests.defs.webhook import Webhook
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.messages import messages_from_raw
from music_lakehouse_tests.postgres import Postgres
from music_lakehouse_tests.secure_broker import SecureBroker

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(1200)]

# Of each secret a part that stays the same however the secret is quoted.
KAFKA, DATABASE, AWS, WEBHOOK, WRONG = "S3cretOfKafka", "tr0ub4dor", "aws0S3cret0Key", "h00kT0ken", "wr0ngS3cret"
MASKING = "masking0Key0S3cret"
SECRETS = (KAFKA, DATABASE, AWS, WEBHOOK, MASKING, WRONG)
# Spark tells all that it tells at most: its log, and the events from which its UI is drawn.
SPARK_DEFAULTS = """\
spark.eventLog.enabled true
spark.eventLog.dir {events}
spark.eventLog.compress false
"""
LOG4J = """\
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c: %m%n%ex
"""


class Story:
    """What was done in the place, by name, and what each command said."""

    def __init__(self, place: Place, prefix: str) -> None:
        self.place, self.prefix = place, prefix
        self.ran: dict[str, Ran] = {}

    def run(self, name: str, *arguments: str, **settings: str) -> Ran:
        place = Place(self.place.directory, {**self.place.settings, **settings})
        self.ran[name] = place.run(*arguments)
        return self.ran[name]


@pytest.fixture(scope="module")
def story(secure_broker: SecureBroker, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Both pipelines that log in anywhere, run with all secrets set; and whoever comes with wrong ones."""
    root = tmp_path_factory.mktemp("secrets")
    (root / "spark-events").mkdir()
    (root / "log4j2.properties").write_text(LOG4J.format(log=root / "spark.log"))
    (root / "spark-defaults.conf").write_text(SPARK_DEFAULTS.format(events=(root / "spark-events").as_uri()))
    url = postgres.new_database().get_secret_value()
    with Webhook(f"/hooks/{WEBHOOK}") as webhook:
        settings = {
            **secure_broker.environment(),
            "KAFKA_TOPIC_PREFIX": f"{root.name}-",
            "CATALOGUE_DATABASE_URL": url,
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": AWS,
            "ALERT_WEBHOOK_URL": webhook.url,
            "MASKING_KEY": MASKING,
            "SPARK_CONF_DIR": str(root),
        }
        story = Story(Place(root, settings), f"{root.name}-")
        story.run("simulate", "simulate", "--events", "150", "--seed", "3", "--dirty", "0.1")
        story.run("simulate catalogue", "simulate", "catalogue", "--streams", "100")
        story.run("doctor", "doctor")
        story.run("status", "broker", "status")
        # Java takes these options last, so that they hold, rather than the platform's own.
        loud = f"-Dlog4j2.configurationFile={(root / 'log4j2.properties').as_uri()}"
        story.run("streaming", "run", "streaming_pipeline", _JAVA_OPTIONS=loud)
        story.run("catalogue", "run", "catalogue_pipeline")
        story.run("masked", "sql", "--masked", "SELECT userId, firstName FROM gold.wide_streams LIMIT 3")
        story.run("masked wrongly", "sql", "--masked", "--debug", "SELECT nothing FROM gold.wide_streams")
        wrong = {"KAFKA_SASL_PASSWORD": WRONG}
        story.run("wrong simulate", "simulate", "--events", "10", **wrong)
        story.run("wrong doctor", "doctor", **wrong)
        story.run("wrong status", "broker", "status", "--debug", **wrong)
        story.run("wrong accept-loss", "accept-loss", "listen_events", **wrong)
        story.run("wrong streaming", "run", "streaming_pipeline", **wrong)
        story.run("wrong catalogue", "run", "catalogue_pipeline", CATALOGUE_DATABASE_URL=url.replace(DATABASE, WRONG))
        yield story


def test_over_sasl_ssl_the_tables_are_what_the_oracle_says(story: Story) -> None:
    for name in ("simulate", "simulate catalogue", "doctor", "status", "streaming", "catalogue", "masked"):
        assert story.ran[name].code == 0, story.ran[name]
    assert "all 4 topics are there" in story.ran["doctor"].out
    lake = LakePaths(str(story.place.lake))
    counts = {event: lake.rows(TABLES[f"raw.{event}"]) for event in TOPICS}
    sent = {line.split()[0].removeprefix(story.prefix): int(line.split()[1]) for line in _topic_lines(story)}
    assert counts == sent
    assert_lake_equals_oracle(
        str(story.place.lake), messages_from_raw(story.place.lake), story.place.directory / "data" / "reference"
    )


def test_a_wrong_password_is_one_line_with_the_remedy(story: Story) -> None:
    for name in ("wrong simulate", "wrong status", "wrong accept-loss", "wrong streaming"):
        ran = story.ran[name]
        assert ran.code == 1
        [line] = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
        assert "refuses the log-in" in line
        assert "correct KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD or KAFKA_SASL_MECHANISM" in line
    assert story.ran["wrong doctor"].code == 1
    assert "refuses the log-in" in " ".join(story.ran["wrong doctor"].out.split())
    assert "is tried again" not in story.ran["wrong streaming"].out, "it would be refused again"


def test_the_sensors_log_in_and_say_who_is_refused(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in story.place.settings.items():
        monkeypatch.setenv(name, value)
    settings = Settings(lakehouse_root=str(story.place.lake))
    resources = {
        name: resource for name, resource in build_resources(settings).items() if name in ("kafka", "lakehouse")
    }

    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, resources=resources) as context:
        observed = kafka_observation_sensor(context)
        monkeypatch.setenv("KAFKA_SASL_PASSWORD", WRONG)
        refused = kafka_sensor(context)

    assert isinstance(observed, dg.SensorResult)
    assert len(observed.asset_events) == len(TOPICS)
    assert isinstance(refused, dg.SkipReason)
    assert "refuses the log-in" in (refused.skip_message or "")
    assert not any(secret in f"{observed}{refused}" for secret in SECRETS)


def test_no_secret_is_in_what_the_commands_say(story: Story) -> None:
    said = {name: ran.out + ran.err for name, ran in story.ran.items()}

    assert {name: secret for name, text in said.items() for secret in SECRETS if secret in text} == {}


def test_no_secret_is_in_any_file_that_was_written(story: Story) -> None:
    """Dagster's events, run configuration and logs, the lake with its logs and checkpoints, Spark's log and events."""
    files = [path for path in story.place.directory.rglob("*") if path.is_file()]
    kinds = {"_delta_log", "_checkpoints", "spark-events", "spark.log", "runs.db", "event_logs"}

    found = [(path, secret) for path in files for secret in SECRETS if secret.encode() in path.read_bytes()]

    assert found == []
    seen = {kind for kind in kinds if any(kind in str(path) or path.name == kind for path in files)}
    assert seen >= {"_delta_log", "spark-events", "spark.log", "runs.db"}
    for kind in ("spark-events", "spark.log"):
        texts = [path.read_text(errors="replace") for path in files if kind in str(path)]
        assert any(story.prefix in text for text in texts), f"{kind} tells of the topics"


def test_no_secret_is_in_the_tables_rows(story: Story) -> None:
    tables = find_tables(str(story.place.lake))
    assert len(tables) > 40
    for table, uri in tables.items():
        text = json.dumps(DeltaTable(uri).to_pyarrow_table().to_pylist(), default=str)
        assert not any(secret in text for secret in SECRETS), table


def test_no_secret_is_in_the_definitions_that_dagster_keeps(story: Story) -> None:
    [database] = story.place.directory.rglob("runs.db")
    with sqlite3.connect(database) as connection:
        bodies = [zlib.decompress(row[0]).decode() for row in connection.execute("SELECT snapshot_body FROM snapshots")]
        runs = [row[0] for row in connection.execute("SELECT run_body FROM runs")]

    assert any("streaming_pipeline" in body for body in bodies)
    assert len(runs) == 4
    assert not any(secret in text for text in (*bodies, *runs) for secret in SECRETS)


def _topic_lines(story: Story) -> list[str]:
    return [line.strip() for line in story.ran["simulate"].out.splitlines() if line.strip().startswith(story.prefix)]
