"""Where everything is: the settings read from the environment, or from a `.env` file in the working directory."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

TOPICS = ("listen_events", "page_view_events", "auth_events", "status_change_events")


class Settings(BaseSettings):
    """One field an environment variable of the same name in upper case; relative paths are relative to the working
    directory. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    lakehouse_root: str = Field("data/lakehouse", description="where the Delta tables lie: a path or a Hadoop URI")
    reference_root: Path = Field(Path("data/reference"), description="directory of songs.csv and state_codes.csv")
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="brokers, host:port, comma-separated")
    kafka_security_protocol: str = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    kafka_sasl_mechanism: str | None = Field(None, description="for example SCRAM-SHA-512")
    kafka_sasl_username: str | None = Field(None, description="user of the SASL log-in")
    kafka_sasl_password: SecretStr | None = Field(None, description="password of the SASL log-in")
    kafka_ssl_ca_location: Path | None = Field(None, description="PEM file of the authority that signed the brokers")
    kafka_ssl_certificate_location: Path | None = Field(
        None, description="PEM file of this client's certificate and its key (PKCS 8, without a password)"
    )
    kafka_topic_prefix: str = Field("", description="put before the four topic names")
    broker_data: Path = Field(Path("data/broker"), description="where the embedded broker keeps its log")
    spark_remote: str | None = Field(None, description="sc://host:port of a Spark Connect server")
    spark_master: str = Field("local[*]", description="Spark master where spark_remote is empty")
    catalogue_database_url: SecretStr = Field(
        SecretStr("sqlite:///data/catalogue.db"), description="SQLAlchemy URL of the operational database"
    )
    landing_root: Path = Field(Path("data/landing"), description="where files land")
    heart_rate_max_files_per_trigger: int = Field(
        1, ge=1, description="most files of heart rates that one commit takes into bronze"
    )
    dagster_home: Path = Field(Path("data/dagster"), description="Dagster's instance")
    masking_key: SecretStr | None = Field(
        None, description="what pseudonyms in masked views are hashed with; without it they differ each time"
    )
    alert_lag_messages: int = Field(
        100_000, ge=0, description="more unread messages of a topic than this, for five minutes, are an alert"
    )
    alert_freshness_minutes: float = Field(
        30, gt=0, description="messages or rows that wait so long without any progress are an alert"
    )
    alert_webhook_url: SecretStr | None = Field(None, description="where alerts are posted as JSON")

    @property
    def topics(self) -> dict[str, str]:
        """Kafka topic name by event name, for example `{"listen_events": "test-listen_events"}`."""
        return {name: f"{self.kafka_topic_prefix}{name}" for name in TOPICS}

    @property
    def lake_uri(self) -> str:
        """The lake's root as an absolute path or a URI, without a trailing slash: `s3://` too as Hadoop's `s3a://`.
        `delta.native_uri` is the way back, for delta-rs and Arrow."""
        root = self.lakehouse_root.rstrip("/")
        if root.startswith("s3://"):
            return f"s3a://{root.removeprefix('s3://')}"
        return root if "://" in root else str(Path(root).absolute())
