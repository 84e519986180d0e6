"""What Spark's errors mean, in one line with the remedy, where the cause lies outside: a broker, a disk, a process."""

from __future__ import annotations

import re
from collections.abc import Iterator

from music_lakehouse.lakehouse.kafka_access import BrokerUnavailableError, access_error

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error 28|Errno 28", re.IGNORECASE)
_NOT_WRITABLE = re.compile(
    r"Permission denied|Operation not permitted|Read-only file system|Mkdirs failed|Not a directory|Unable to create "
    r"directory|DELTA_CANNOT_CREATE_LOG_PATH|failed to create (?:file|dir)",
    re.IGNORECASE,
)
_BROKER_GONE = re.compile(
    r"org\.apache\.kafka\.common\.errors\.(?:TimeoutException|DisconnectException|NetworkException)"
    r"|No resolvable bootstrap urls|Cannot fetch record for offset|Bootstrap broker .* disconnected"
)
_BROKER_REFUSES = re.compile(
    r"(?:Sasl|Ssl)AuthenticationException|SaslAuthentication|UnsupportedSaslMechanismException|SSLHandshakeException"
    r"|org\.apache\.kafka\.common\.errors\.InvalidConfigurationException|Failed to load (?:PEM )?SSL (?:key|trust)store"
)
_SPARK_GONE = re.compile(
    r"Answer from Java side is empty|Error while sending or receiving|An error occurred while trying to connect to the "
    r"Java server"
    # What Py4J says where it got no answer; behind an answer there is more.
    r"|An error occurred while calling [\w.:$]+[\w$](?=\n|\Z)"
    r"|SparkContext (?:was|has been) (?:shut|stopped)|Cannot call methods on a stopped SparkContext"
    # A Spark Connect server that is gone, and one that has begun anew since or was told to end the session.
    r"|StatusCode\.UNAVAILABLE|failed to connect to all addresses"
    r"|INVALID_HANDLE\.(?:SESSION_(?:CHANGED|NOT_FOUND|CLOSED)|OPERATION_NOT_FOUND)"
)
_CLASSES = re.compile(r"^(?:Caused by: )?(?:[\w.$]+(?:Exception|Error): )+")


class StorageError(RuntimeError):
    """The lake's storage can't be written: it is full, or doesn't let us."""


class SparkLostError(RuntimeError):
    """Spark's process ended during the run."""


def explained(error: BaseException, *, lake_root: str, brokers: str) -> Exception | None:
    """The error in words, where it says that the disk is full or not writable (StorageError), that no broker answers
    (BrokerUnavailableError) or one refuses us (BrokerAccessError), or that Spark's process is gone (SparkLostError);
    otherwise None."""
    chain = list(_chain(error))
    text = "\n".join(str(one) for one in chain)
    if _DISK_FULL.search(text):
        return StorageError(
            f"the disk of the lake {lake_root} (or of Spark's temporary files) is full: make room, then run again; "
            "the tables are whole, and the run goes on where it stopped"
        )
    if _NOT_WRITABLE.search(text):
        return StorageError(
            f"the lake {lake_root} cannot be written ({_detail(text, _NOT_WRITABLE)}): let this user write there, then "
            "run again; the tables are whole"
        )
    if _BROKER_REFUSES.search(text):
        return access_error(brokers, _detail(text, _BROKER_REFUSES))
    if _BROKER_GONE.search(text):
        return BrokerUnavailableError(
            f"the Kafka broker at {brokers} went away while it was read ({_detail(text, _BROKER_GONE)}): start it; "
            "what was not read yet is read then"
        )
    if any(isinstance(one, ConnectionRefusedError) for one in chain) or _SPARK_GONE.search(text):
        return SparkLostError(
            "Spark's process ended during the run (killed, or out of memory: see SPARK_DRIVER_MEMORY): run again; "
            "the tables are whole, and the run goes on where it stopped"
        )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _detail(text: str, pattern: re.Pattern[str]) -> str:
    """The shortest line that says it, without the exception's class."""
    line = min((line for line in text.splitlines() if pattern.search(line)), key=len)
    return _CLASSES.sub("", line.strip())[:300]
