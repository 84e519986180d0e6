"""How clients reach the brokers: one declaration in the settings, for librdkafka and for Spark; and who is refused."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata
from confluent_kafka.error import KafkaError
from pydantic import SecretStr

from music_lakehouse.settings import Settings

# An answer that takes longer is asked for again: in between it is seen whether the broker refuses us.
_ANSWER_SECONDS = 1.0
_REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
}
# Who it was that said so, and how long it took.
_ASIDES = re.compile(r"^\S+://\S+: |\(after \d+ms in state \w+\)|error:\w+:SSL routines::", re.MULTILINE)


class BrokerUnavailableError(RuntimeError):
    """No broker answered in time."""


class BrokerAccessError(RuntimeError):
    """A broker refuses the log-in, or its certificate isn't trusted, or the settings of both make no sense. To try
    again changes nothing. The text is one line with the remedy and without a secret."""


BROKER_ERRORS = (BrokerUnavailableError, BrokerAccessError)


def client_config(settings: Settings) -> dict[str, Any]:
    """librdkafka's settings for these brokers."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "log_level": 0,
    }
    if settings.kafka_sasl_mechanism:
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username or ""
        config["sasl.password"] = _revealed(settings.kafka_sasl_password)
    if settings.kafka_ssl_ca_location:
        config["ssl.ca.location"] = _path(settings.kafka_ssl_ca_location)
    if settings.kafka_ssl_certificate_location:
        config["ssl.certificate.location"] = _path(settings.kafka_ssl_certificate_location)
        config["ssl.key.location"] = _path(settings.kafka_ssl_certificate_location)
    return config


def spark_options(settings: Settings) -> dict[str, str]:
    """The same for Spark's Kafka source. Read committed: messages of aborted transactions are never seen."""
    options = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "isolation.level": "read_committed",
        # A broker that is gone is said within a minute; the defaults are two, and three for offsets.
        "request.timeout.ms": "10000",
        "default.api.timeout.ms": "15000",
        # A fetch at a topic's end waits for more, half a second by default, and the question for its offsets behind it:
        # of four topics with few new messages that was half of the time.
        "fetch.max.wait.ms": "10",
    }
    if settings.kafka_sasl_mechanism:
        options["sasl.mechanism"] = settings.kafka_sasl_mechanism
        options["sasl.jaas.config"] = _jaas(settings)
    if settings.kafka_ssl_ca_location:
        options["ssl.truststore.type"] = "PEM"
        options["ssl.truststore.location"] = _path(settings.kafka_ssl_ca_location)
    if settings.kafka_ssl_certificate_location:
        options["ssl.keystore.type"] = "PEM"
        options["ssl.keystore.location"] = _path(settings.kafka_ssl_certificate_location)
    return {**{f"kafka.{name}": value for name, value in options.items()}, "kafkaConsumer.pollTimeoutMs": "30000"}


def open_admin(settings: Settings, deadline: float) -> tuple[AdminClient, ClusterMetadata]:
    """A client that is connected, and what the brokers said of themselves and their topics.

    Raises BrokerAccessError as soon as a broker refuses us, BrokerUnavailableError where none has answered by the
    deadline (`time.monotonic()`).
    """
    said: list[KafkaError] = []
    try:
        admin = AdminClient(client_config(settings) | {"error_cb": said.append})
    except KafkaException as error:
        raise access_error(settings.kafka_bootstrap_servers, error.args[0].str()) from error
    while True:
        left = deadline - time.monotonic()
        try:
            return admin, admin.list_topics(timeout=max(0.1, min(left, _ANSWER_SECONDS)))
        except KafkaException as error:
            admin.poll(0)
            for one in said:
                if one.code() in _REFUSED or "SSL" in one.str():
                    raise access_error(settings.kafka_bootstrap_servers, one.str()) from error
            if left <= _ANSWER_SECONDS:
                raise unavailable(settings, error) from error


def access_error(brokers: str, words: str) -> BrokerAccessError:
    """The error of brokers that refuse us with these words."""
    reason = " ".join(_ASIDES.sub("", words).split())
    if re.search("sasl|credentials|authentication failed", reason, re.IGNORECASE):
        what, remedy = "refuses the log-in", "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD or KAFKA_SASL_MECHANISM"
    else:
        what = "can't be reached by a connection that both sides trust"
        remedy = "KAFKA_SECURITY_PROTOCOL, KAFKA_SSL_CA_LOCATION or KAFKA_SSL_CERTIFICATE_LOCATION"
    return BrokerAccessError(f"Kafka at {brokers} {what} ({reason}): correct {remedy}")


def unavailable(settings: Settings, error: Exception) -> BrokerUnavailableError:
    """The error of brokers that don't answer."""
    why = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
    return BrokerUnavailableError(
        f"no Kafka broker answers at {settings.kafka_bootstrap_servers} over {settings.kafka_security_protocol} "
        f"({why}): start it (`music-lakehouse broker start` starts the embedded one), or set "
        "KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL"
    )


def _jaas(settings: Settings) -> str:
    """The log-in as Java's clients want it: a line of JAAS, in which quotes and backslashes are escaped."""
    scram = str(settings.kafka_sasl_mechanism).startswith("SCRAM")
    module = "scram.ScramLoginModule" if scram else "plain.PlainLoginModule"
    username = _quoted(settings.kafka_sasl_username or "")
    password = _quoted(_revealed(settings.kafka_sasl_password))
    return f"org.apache.kafka.common.security.{module} required username={username} password={password};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _path(file: Path) -> str:
    return str(file.absolute())


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
