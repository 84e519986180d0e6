"""What an error of Spark's means, by its text."""

from __future__ import annotations

import re

import pytest

from music_lakehouse.lakehouse.errors import SparkLostError, explained


@pytest.mark.parametrize(
    "text",
    [
        "<_InactiveRpcError of RPC that terminated with: status = StatusCode.UNAVAILABLE details = 'Socket closed'>",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:15002: Connection refused",
        "[INVALID_HANDLE.SESSION_CHANGED] The handle x is invalid. The existing Spark server driver instance has "
        "restarted. Please reconnect. SQLSTATE: HY000",
        "[RESPONSE_ALREADY_RECEIVED] INVALID_HANDLE.OPERATION_NOT_FOUND on the server but responses were already "
        "received from it.",
        "Answer from Java side is empty",
        "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.readRDDFromFile",
    ],
)
def test_a_spark_that_is_lost_is_said_in_words(text: str) -> None:
    error = explained(RuntimeError(text), lake_root="/lake", brokers="127.0.0.1:9092")
    assert isinstance(error, SparkLostError)
    assert re.search("run again; the tables are whole", str(error))


@pytest.mark.parametrize(
    "text",
    [
        "An error occurred while calling o12.save.\n: java.lang.IllegalStateException: no",
        "An error occurred while calling o12.save. Trace:\npy4j.Py4JException: Method save() does not exist\n",
    ],
)
def test_an_error_that_spark_answers_with_is_none_of_these(text: str) -> None:
    assert explained(RuntimeError(text), lake_root="/lake", brokers="127.0.0.1:9092") is None
