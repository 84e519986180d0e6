"""Brokers that encrypt and ask for a log-in: who comes in, and what is said to who doesn't."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse import kafka
from music_lakehouse.lakehouse.errors import explained
from music_lakehouse.lakehouse.kafka import describe_topics, ensure_topics, newest_message_time
from music_lakehouse.lakehouse.kafka_access import (
    BrokerAccessError,
    BrokerUnavailableError,
    client_config,
    spark_options,
)
from music_lakehouse.lakehouse.kafka_ingest import ingest_topic
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.messages import AUTH, Message
from music_lakehouse.simulator.sinks import to_kafka
from music_lakehouse_tests.secure_broker import PASSWORD, Authority, SecureBroker

WAYS = [
    ("SASL_SSL", "SCRAM-SHA-512"),
    ("SASL_SSL", "PLAIN"),
    ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("SSL", ""),
]
WRONG = "wr0ng-s3cret"


def test_one_declaration_is_said_to_both_clients_each_in_its_own_way(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": "ann",
            "kafka_sasl_password": 'a"b\\c',
            "kafka_ssl_ca_location": tmp_path / "ca.pem",
            "kafka_ssl_certificate_location": tmp_path / "client.pem",
        }
    )

    config, options = client_config(settings), spark_options(settings)

    assert config["sasl.password"] == 'a"b\\c'
    assert options["kafka.sasl.jaas.config"] == (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="ann" password="a\\"b\\\\c";'
    )
    assert config["ssl.ca.location"] == options["kafka.ssl.truststore.location"] == str(tmp_path / "ca.pem")
    assert options["kafka.ssl.truststore.type"] == options["kafka.ssl.keystore.type"] == "PEM"
    assert config["ssl.key.location"] == config["ssl.certificate.location"] == str(tmp_path / "client.pem")
    assert config["ssl.certificate.location"] == options["kafka.ssl.keystore.location"]


def test_brokers_that_ask_nothing_are_told_nothing() -> None:
    assert {name for name in client_config(Settings()) if name.startswith(("sasl", "ssl"))} == set()
    assert {name for name in spark_options(Settings()) if name.startswith(("kafka.sasl", "kafka.ssl"))} == set()


@pytest.mark.kafka
@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
def test_whoever_has_what_the_broker_asks_for_sends_and_sees_what_is_there(
    secure_broker: SecureBroker, topic_prefix: str, protocol: str, mechanism: str
) -> None:
    settings = secure_broker.settings(protocol, mechanism, kafka_topic_prefix=topic_prefix)

    assert to_kafka([Message(AUTH, b"{}", 0)] * 3, settings) == {AUTH: 3}

    topic = describe_topics(settings, [settings.topics[AUTH]])[settings.topics[AUTH]]
    assert sum(topic.end_offsets.values()) == 3
    assert newest_message_time(settings, topic)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("protocol", "wrong", "said"),
    [
        ("SASL_SSL", {"KAFKA_SASL_PASSWORD": WRONG}, r"refuses the log-in \(.*invalid credentials"),
        ("SASL_PLAINTEXT", {"KAFKA_SASL_USERNAME": "nobody"}, r"refuses the log-in \(.*invalid credentials"),
        ("SASL_SSL", {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, "supported mechanisms: SCRAM-SHA-512"),
        ("SASL_SSL", {"KAFKA_SASL_MECHANISM": "SCRAM"}, "Unsupported SASL mechanism: SCRAM"),
        ("SASL_SSL", {"KAFKA_SSL_CA_LOCATION": "other.pem"}, "certificate verify failed"),
        ("SASL_SSL", {"KAFKA_SSL_CA_LOCATION": "nowhere.pem"}, r"ssl\.ca\.location failed"),
        ("SSL", {"KAFKA_SSL_CERTIFICATE_LOCATION": ""}, "(bad certificate|certificate required)"),  # by Java's version
        ("SASL_PLAINTEXT", {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "connecting to a PLAINTEXT broker listener"),
        ("SASL_SSL", {"KAFKA_SECURITY_PROTOCOL": "TLS"}, 'Invalid value "TLS"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_who_is_refused_is_told_why_and_what_to_correct_within_seconds_and_in_one_line_without_a_secret(
    secure_broker: SecureBroker, tmp_path: Path, protocol: str, wrong: dict[str, str], said: str
) -> None:
    Authority(tmp_path, "other")
    files = {name: str(tmp_path / value) for name, value in wrong.items() if value.endswith(".pem")}
    given = {**secure_broker.environment(protocol), **wrong, **files}
    settings = Settings.model_validate({name.lower(): value or None for name, value in given.items()})
    started = time.monotonic()

    for ask in (lambda: describe_topics(settings, ["any"]), lambda: ensure_topics(settings, ["any"])):
        with pytest.raises(BrokerAccessError, match=said) as raised:
            ask()

        text = str(raised.value)
        assert text.startswith(f"Kafka at {settings.kafka_bootstrap_servers} ")
        assert next(iter(wrong)) in text.rpartition(": correct ")[2]
        assert "\n" not in text
        assert not any(secret in text for secret in (PASSWORD, WRONG))
    assert time.monotonic() - started < 8


@pytest.mark.kafka
def test_whoever_comes_without_encryption_is_told_which_protocol_got_no_answer(secure_broker: SecureBroker) -> None:
    settings = secure_broker.settings(KAFKA_SECURITY_PROTOCOL="PLAINTEXT")

    with pytest.raises(BrokerUnavailableError, match=r"over PLAINTEXT .* KAFKA_SECURITY_PROTOCOL"):
        describe_topics(settings, ["any"], timeout_seconds=2)


@pytest.mark.spark
@pytest.mark.kafka
@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
def test_spark_reads_what_it_may(
    spark: SparkSession, lake: Lake, secure_broker: SecureBroker, topic_prefix: str, protocol: str, mechanism: str
) -> None:
    settings = secure_broker.settings(protocol, mechanism, kafka_topic_prefix=topic_prefix)
    to_kafka([Message(AUTH, b"{}", 0)] * 5, settings)
    topic = describe_topics(settings, [settings.topics[AUTH]])[settings.topics[AUTH]]

    assert ingest_topic(lake, settings, topic, RAW[AUTH], max_offsets=100).rows == 5


@pytest.mark.spark
@pytest.mark.kafka
def test_spark_being_refused_is_told_as_well(
    lake: Lake, secure_broker: SecureBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = secure_broker.settings(kafka_topic_prefix=topic_prefix)
    to_kafka([Message(AUTH, b"{}", 0)], settings)
    topic = describe_topics(settings, [settings.topics[AUTH]])[settings.topics[AUTH]]
    wrong = secure_broker.settings(kafka_topic_prefix=topic_prefix, KAFKA_SASL_PASSWORD=WRONG)
    # As where the password is changed between the two.
    monkeypatch.setattr(kafka, "describe_topics", lambda *_, **__: {topic.name: topic})

    with pytest.raises(Exception, match="SaslAuthenticationException") as raised:
        ingest_topic(lake, wrong, topic, RAW[AUTH], max_offsets=100)

    assert WRONG not in str(raised.value)
    error = explained(raised.value, lake_root=lake.root, brokers=wrong.kafka_bootstrap_servers)
    assert isinstance(error, BrokerAccessError)
    assert "refuses the log-in (Authentication failed" in str(error)
