"""A real Kafka broker that encrypts and asks who is there, with certificates made for the test."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

from confluent_kafka.admin import AdminClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import HOST, EmbeddedBroker, free_port

USER = "lakehouse"
# What JAAS, librdkafka and URLs have to quote, each in its own way.
PASSWORD = r'k4fka"S3cretOfKafka\;%= here'


class Authority:
    """One that signs certificates, kept as PEM files in `directory`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._name = directory, _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(self._key.public_key(), self._name, is_authority=True)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str) -> Path:
        """A PEM file of a new private key (PKCS 8) and its certificate, good for 127.0.0.1 and localhost, as a server
        and as a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        file = self._directory / f"{name}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + self._signed(key.public_key(), _name(name)).public_bytes(serialization.Encoding.PEM)
        )
        return file

    def _signed(
        self, key: ec.EllipticCurvePublicKey, subject: x509.Name, *, is_authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class SecureBroker(EmbeddedBroker):
    """A broker whose clients come over `SASL_SSL` at `port`, over `SASL_PLAINTEXT` at `sasl_port` and over `SSL` with a
    certificate of their own at `ssl_port`. It knows one user, by SCRAM-SHA-512 and by PLAIN. Only it itself has a
    listener that asks nothing."""

    def __init__(self, data: Path, authority: Authority) -> None:
        super().__init__(data, free_port())
        self.sasl_port, self.ssl_port, self._internal_port = free_port(), free_port(), free_port()
        self._authority = authority
        self._certificate = authority.certificate("broker")
        self._client = authority.certificate("client")

    def environment(self, protocol: str = "SASL_SSL", mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The variables with which a client comes in over that protocol."""
        port = {"SASL_SSL": self.port, "SASL_PLAINTEXT": self.sasl_port, "SSL": self.ssl_port}[protocol]
        found = {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{port}", "KAFKA_SECURITY_PROTOCOL": protocol}
        if "SASL" in protocol:
            found["KAFKA_SASL_MECHANISM"] = mechanism
            found |= {"KAFKA_SASL_USERNAME": USER, "KAFKA_SASL_PASSWORD": PASSWORD}
        if "SSL" in protocol:
            found["KAFKA_SSL_CA_LOCATION"] = str(self._authority.file)
        if protocol == "SSL":
            found["KAFKA_SSL_CERTIFICATE_LOCATION"] = str(self._client)
        return found

    def settings(self, protocol: str = "SASL_SSL", mechanism: str = "SCRAM-SHA-512", **more: str) -> Settings:
        """The same as settings."""
        variables = {**self.environment(protocol, mechanism), **more}
        return Settings.model_validate({name.lower(): value for name, value in variables.items()})

    def _secured(self, properties: str) -> str:
        clients = f"SASL_SSL://{HOST}:{self.port},SASL_PLAINTEXT://{HOST}:{self.sasl_port},SSL://{HOST}:{self.ssl_port}"
        internal = f"PLAINTEXT://{HOST}:{self._internal_port}"
        properties = properties.replace(f"PLAINTEXT://{HOST}:{self.port}", f"{internal},{clients}")
        protocols = ",".join(f"{name}:{name}" for name in ("SASL_SSL", "SASL_PLAINTEXT", "SSL"))
        properties = re.sub(r"(security\.protocol\.map=.*)", rf"\1,{protocols}", properties)
        quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
        plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{quoted}";'
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        logins = [
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config={module}".replace("\\", "\\\\")
            for listener in ("sasl_ssl", "sasl_plaintext")
            for mechanism, module in (("scram-sha-512", scram), ("plain", plain))
        ]
        more = [
            "inter.broker.listener.name=PLAINTEXT",
            "sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN",
            *logins,
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={self._certificate}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={self._authority.file}",
            "listener.name.ssl.ssl.client.auth=required",
        ]
        return properties + "\n".join(more) + "\n"

    def _format_options(self) -> list[str]:
        return ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": f"{HOST}:{self._internal_port}", "log_level": 0})


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
