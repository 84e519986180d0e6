"""Hadoop's S3 file system, by the settings that delta-rs and Arrow take: the variables `AWS_…`."""

from __future__ import annotations

import os
from collections.abc import Mapping

SCHEME = "s3a://"
# What Spark itself takes from the driver's `AWS_…` variables, and hands its executors in what only tasks see; then the
# AWS SDK's own chain, as in delta-rs: variables, web identity, profile, container, instance.
_PROVIDERS = (
    "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
    "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
)


def s3a_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Spark's settings for where the store is and how it is addressed; none of them is a secret."""
    settings = {"aws.credentials.provider": ",".join(_PROVIDERS)}
    endpoint = environment.get("AWS_ENDPOINT_URL")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if endpoint:
        virtual = environment.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in ("1", "true", "yes", "on")
        settings |= {"endpoint": endpoint, "path.style.access": str(not virtual).lower()}
    if region:
        settings["endpoint.region"] = region
    return {f"spark.hadoop.fs.s3a.{name}": value for name, value in settings.items()}
