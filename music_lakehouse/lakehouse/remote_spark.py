"""Sessions of a Spark Connect server: what a client asked for goes on there without it, until somebody ends it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from music_lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ANSWER_SECONDS = 10.0
END_SECONDS = 60.0
# Spark's client tries for ten minutes by default; these are five seconds.
MOST_RETRIES = 4
PORT = 15002


class SparkUnavailableError(RuntimeError):
    """No Spark Connect server answers."""


class SessionNotEndedError(RuntimeError):
    """What a session was asked for may still be running."""


@dataclass(frozen=True)
class RemoteSession:
    """A session of the Spark Connect server at `host` and `port`. It outlives its client: queries go on, and may
    commit, until they end or somebody ends the session."""

    host: str
    port: int
    session_id: str
    user_id: str

    @staticmethod
    def of(spark: SparkSession, remote: str) -> RemoteSession:
        """The Spark Connect session `spark` of the server at `remote` (sc://host:port/;…)."""
        client: Any = spark.client
        return RemoteSession(*endpoint(remote), client._session_id, client._user_id or "")

    def __str__(self) -> str:
        return f"session {self.session_id} of the Spark Connect server {self.host}:{self.port}"

    def end(self, *, seconds: float = END_SECONDS) -> None:
        """Stop its queries and whatever else it was asked for, wait until nothing of it runs, and release it.

        Nothing runs where the server has no such session, or where its port refuses: then the server is gone. Raises
        SessionNotEndedError where that can't be told within `seconds`.
        """
        import grpc
        from pyspark.errors.exceptions.connect import SparkConnectException
        from pyspark.sql.connect.session import SparkSession as ConnectSession

        try:
            if not is_listening(self.host, self.port):
                return
        except OSError as error:
            raise SessionNotEndedError(f"{self} can't be reached ({error}): it may still be writing") from error
        session: Any = ConnectSession(self._url())
        try:
            limit_retries(session)
            grpc.channel_ready_future(session.client._channel).result(ANSWER_SECONDS)
            _end(session, self, seconds)
        except grpc.FutureTimeoutError as error:
            raise SessionNotEndedError(f"{self} doesn't answer: it may still be writing") from error
        except SparkConnectException as error:
            if "INVALID_HANDLE" not in str(error):
                raise SessionNotEndedError(f"{self} may still be writing: {error}") from error
        except grpc.RpcError as error:
            raise SessionNotEndedError(f"{self} may still be writing: {error}") from error
        finally:
            session.client.close()

    def _url(self) -> str:
        """The server's URL with this session."""
        base, _, parameters = with_secrets(f"sc://{self.host}:{self.port}").partition("/;")
        given = [one for one in parameters.split(";") if one and one.split("=")[0] not in ("session_id", "user_id")]
        own = [f"session_id={self.session_id}", *([f"user_id={self.user_id}"] if self.user_id else [])]
        return f"{base.rstrip('/')}/;" + ";".join([*given, *own])


def without_secrets(remote: str) -> str:
    """`sc://host:port` of the URL: what else it has may be a token."""
    host, port = endpoint(remote)
    return f"sc://{host}:{port}"


def with_secrets(remote: str) -> str:
    """The URL as the settings have it, where they mean the same server."""
    known = Settings().spark_remote
    return known if known and endpoint(known) == endpoint(remote) else remote


def endpoint(remote: str) -> tuple[str, int]:
    """Host and port of `sc://host:port/;…`."""
    parts = urlsplit(remote)
    return parts.hostname or "localhost", parts.port or PORT


def is_listening(host: str, port: int, *, timeout_seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the port takes connections; False where it refuses them. Raises OSError where neither is told."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except ConnectionRefusedError:
        return False


def require_server(remote: str) -> None:
    """Raises SparkUnavailableError at once where no server listens at `remote`."""
    host, port = endpoint(remote)
    reason = "its port refuses connections"
    try:
        if is_listening(host, port):
            return
    except OSError as error:
        reason = str(error)
    raise SparkUnavailableError(
        f"no Spark Connect server answers at {host}:{port} ({reason}): start it, or set SPARK_REMOTE to another, or to "
        "nothing for a Spark of our own"
    )


def limit_retries(spark: Any) -> None:
    """Let the session's client say within seconds that its server is gone."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    spark.client.set_retry_policies([DefaultPolicy(max_retries=MOST_RETRIES)])


def _end(session: Any, named: RemoteSession, seconds: float) -> None:
    from pyspark.sql.connect.proto import GetStatusResponse

    state = GetStatusResponse.OperationStatus.OperationState
    deadline = time.monotonic() + seconds
    while True:
        session.client.interrupt_all()
        queries = session.streams.active
        for query in queries:
            query.stop()
        statuses = session.client._get_operation_statuses().operation_statuses
        running = [one.operation_id for one in statuses if one.state == state.OPERATION_STATE_RUNNING]
        over = [one.operation_id for one in statuses if one.state == state.OPERATION_STATE_TERMINATING]
        if not queries and not running and not over:
            break
        if time.monotonic() >= deadline:
            raise SessionNotEndedError(f"{named} still runs {', '.join(running + over) or 'streaming queries'}")
        for operation in over:
            # Its client, which is gone, has not taken what it gave: the server would keep it for minutes.
            _release(session, operation)
        time.sleep(0.1)
    session.client.release_session()


def _release(session: Any, operation_id: str) -> None:
    from pyspark.sql.connect.proto import ReleaseExecuteRequest, UserContext

    client = session.client
    request = ReleaseExecuteRequest(
        session_id=client._session_id,
        user_context=UserContext(user_id=client._user_id or ""),
        operation_id=operation_id,
        release_all=ReleaseExecuteRequest.ReleaseAll(),
    )
    client._stub.ReleaseExecute(request, metadata=client._builder.metadata())
