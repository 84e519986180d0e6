"""The embedded broker that the settings mean."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from music_lakehouse.cli.errors import CliError

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.broker import EmbeddedBroker

# The broker listens on 127.0.0.1 alone: not on other addresses of the loopback, not on ::1.
LOOPBACK = ("127.0.0.1", "localhost")


def loopback_port(settings: Settings) -> int | None:
    """The port of KAFKA_BOOTSTRAP_SERVERS where that is one address on the loopback; None where it is another Kafka."""
    host, _, port = settings.kafka_bootstrap_servers.strip().rpartition(":")
    return int(port) if host in LOOPBACK and port.isascii() and port.isdigit() and 0 < int(port) < 65536 else None


def require_broker(settings: Settings) -> None:
    """Raises CliError at once where the settings mean a port of this host on which nothing listens. Kafka's client says
    so after its time limit only. Of other brokers nothing is said."""
    port = loopback_port(settings)
    if port is not None and not is_listening(port):
        raise CliError(
            f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: `music-lakehouse broker start` starts the "
            "embedded one, or set KAFKA_BOOTSTRAP_SERVERS"
        )


def is_listening(port: int) -> bool:
    """Whether some program listens on the port of the loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def embedded_broker(settings: Settings) -> EmbeddedBroker:
    """The broker of BROKER_DATA on the port of KAFKA_BOOTSTRAP_SERVERS, not started.

    Raises CliError where the settings mean another Kafka than an embedded one could be.
    """
    from music_lakehouse.simulator.broker import EmbeddedBroker

    port = loopback_port(settings)
    if port is None:
        raise CliError(
            f"KAFKA_BOOTSTRAP_SERVERS is {settings.kafka_bootstrap_servers}, and the embedded broker listens on the "
            "loopback only: set it to 127.0.0.1:PORT, or use the Kafka that it names as it is"
        )
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise CliError(
            f"KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}, and the embedded broker speaks PLAINTEXT: "
            "unset it for the embedded broker"
        )
    return EmbeddedBroker(settings.broker_data, port)
