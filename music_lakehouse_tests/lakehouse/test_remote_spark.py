from __future__ import annotations

import socket

import pytest

from music_lakehouse.lakehouse.remote_spark import (
    RemoteSession,
    SparkUnavailableError,
    endpoint,
    is_listening,
    require_server,
)
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.simulator.broker import free_port


@pytest.mark.parametrize(
    ("remote", "host_and_port"),
    [
        ("sc://cluster.example:15003", ("cluster.example", 15003)),
        ("sc://cluster.example", ("cluster.example", 15002)),
        ("sc://cluster.example:443/;use_ssl=true;token=secret", ("cluster.example", 443)),
        ("sc://[::1]:1234/", ("::1", 1234)),
    ],
)
def test_a_url_says_host_and_port(remote: str, host_and_port: tuple[str, int]) -> None:
    assert endpoint(remote) == host_and_port


def test_a_run_without_its_server_is_told_so_at_once_without_secrets() -> None:
    port = free_port()
    with pytest.raises(SparkUnavailableError, match=f"no Spark Connect server answers at 127.0.0.1:{port}") as raised:
        _ = SparkResource(remote=f"sc://127.0.0.1:{port}/;token=secret").spark_session
    assert "secret" not in str(raised.value)


def test_a_port_listens_or_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_listening("127.0.0.1", port)
        require_server(f"sc://127.0.0.1:{port}")
    assert not is_listening("127.0.0.1", port)


def test_a_session_is_reached_with_the_settings_token_where_they_mean_its_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = RemoteSession("cluster.example", 443, "a-session", "somebody")
    monkeypatch.setenv("SPARK_REMOTE", "sc://cluster.example:443/;use_ssl=true;token=secret;user_id=another")
    assert session._url() == (
        "sc://cluster.example:443/;use_ssl=true;token=secret;session_id=a-session;user_id=somebody"
    )
    assert "secret" not in str(session)
    monkeypatch.setenv("SPARK_REMOTE", "sc://other.example:443/;token=secret")
    assert session._url() == "sc://cluster.example:443/;session_id=a-session;user_id=somebody"
