"""One run of a job in a process of its own, with at most one fault at a named point.

    python -m music_lakehouse_tests.chaos.runner REPORT JOB [TABLE …]

The lake, the references and the broker come from the environment, like any run's; the fault is the variable
`LAKEHOUSE_FAULT`, read here only, as are `LOCK_WAIT_SECONDS` and `MOST_RETRIES`. The report is JSON: whether the run
succeeded, and its errors. With tables (`layer.table`) only these of the listening tables are materialized.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pyarrow as pa

from music_lakehouse.lakehouse.locks import spark_children

FAULT_VARIABLE = "LAKEHOUSE_FAULT"
FEW = (
    "MOST_ROWS_OF_A_SMALL_CHANGE",
    "MOST_ROWS_AT_ONCE",
    "MOST_ROWS_FETCHED",
    "MOST_ROWS_COMMITTED_HERE",
    "MOST_ROWS_READ_AT_ONCE",
    "MOST_ROWS_MADE_HERE",
    "MOST_MESSAGES_PARSED_HERE",
)
"""The limits up to which rows are read, compared or written without Spark, by their names in the package's modules."""
DUCKDBS_VECTOR = 2_048
"""Fewer rows DuckDB doesn't give at a time."""


@dataclass(frozen=True)
class Fault:
    """What happens at the `call`-th call of the function `point`, of those that concern `table` (None: any).

    `moment`: before the call, after it, `milliseconds` into it; `at_file`: as soon as the table has another data file,
    which Spark writes before any version names it; `at_batch`: when the call asks for the second batch of the rows that
    it is given; or `at_commit`: as soon as its next version is on disk. `victim`: the process group (`group`), Python
    alone, the JVM alone; or `nobody`: the run waits there until the file `gate`, which it makes, is gone, or the test
    itself. With `many` the run takes all rows for many, which Spark writes; with `long` whatever may be a view for too
    long to be held. With `in_order` it takes the tables of a stage one by one, as they are declared, so that later ones
    are as they were.
    """

    point: str
    moment: str = "before"
    table: str | None = None
    call: int = 1
    victim: str = "group"
    milliseconds: int = 0
    gate: str | None = None
    many: bool = False
    long: bool = False
    in_order: bool = False

    def __str__(self) -> str:
        return f"{self.moment} {self.point} {self.table or ''} #{self.call}, kill {self.victim}"

    def to_environment(self) -> dict[str, str]:
        return {FAULT_VARIABLE: json.dumps(asdict(self))}


def _points() -> dict[str, list[tuple[Any, str, Callable[..., str]]]]:
    """By name: functions' owners, their names, and which table (`layer.table`) a call concerns."""
    from music_lakehouse.defs.listening import parsing
    from music_lakehouse.lakehouse import file_ingest, kafka_ingest, kafka_positions, reference, steps, upsert
    from music_lakehouse.lakehouse.lake import Lake
    from music_lakehouse.lakehouse.landing import Load

    def third(_: Any, __: Any, table: Any, **___: Any) -> str:
        return str(table.full_name)

    def second(_: Any, table: Any, *__: Any) -> str:
        return str(table.full_name)

    return {
        "create": [(Lake, "create", second)],
        # Few rows are written in another way than many, often at the end of the same function.
        "append": [(Lake, "append", third), (Lake, "append_few", third)],
        "merge": [(upsert, "_merge", second), (upsert, "_merge_few", second)],
        "merge_many": [(upsert, "_merge", second)],
        "replace": [(Lake, "replace", third)],
        "write_batches": [(Lake, "write_batches", third)],
        "record_positions": [(steps, "record_positions", lambda _, changes: changes.step)],
        "record_read_up_to": [(kafka_positions, "record_read_up_to", second)],
        "record_files": [(file_ingest, "record_files", second)],
        "record_reference": [(reference, "record_source_position", lambda _, step, *__: step)],
        "rewrite": [(upsert, "make_equal_in_order", second)],
        "land": [(Load, "_finish_file", lambda load: f"landing.{load._landing.directory.name}")],
        "ingest_batches": [(kafka_ingest, "drain", lambda _, path: "raw." + Path(path).name)],
        "parse_batch": [(parsing, "_write_batch", lambda _, topic, __: f"bronze.{topic}")],
        "parse_many": [(parsing, "_write_many", lambda _, topic, *__: f"bronze.{topic}")],
    }


def install(fault: Fault, lake_root: Path) -> None:
    """Wrap the fault's functions so that the fault happens."""
    # Tables of a stage are worked on in threads of their own.
    calls, counting, inside = itertools.count(1), threading.Lock(), threading.local()

    def wrap(wrapped: Callable[..., Any], table_of: Callable[..., str]) -> Callable[..., Any]:
        @wraps(wrapped)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if getattr(inside, "a_call", False):
                return wrapped(*args, **kwargs)
            inside.a_call = True
            try:
                return struck(*args, **kwargs)
            finally:
                inside.a_call = False

        def struck(*args: Any, **kwargs: Any) -> Any:
            table = table_of(*args, **kwargs)
            with counting:
                meant = fault.table in (None, table) and next(calls) == fault.call
            if not meant:
                return wrapped(*args, **kwargs)
            if fault.moment == "before":
                strike(fault)
            elif fault.moment == "during":
                threading.Timer(fault.milliseconds / 1000, strike, [fault]).start()
            elif fault.moment == "at_batch":
                owner, rows, *others = args
                args = (owner, _struck_amid(rows, fault), *others)
            elif fault.moment in _FILES:
                awaited = partial(_FILES[fault.moment], lake_root.joinpath(*table.split(".")))
                threading.Thread(target=_strike_at_another, args=(fault, awaited, awaited()), daemon=True).start()
            result = wrapped(*args, **kwargs)
            if fault.moment == "after":
                strike(fault)
            return result

        return wrapper

    for owner, name, table_of in _points()[fault.point]:
        setattr(owner, name, wrap(getattr(owner, name), table_of))


def _struck_amid(rows: pa.RecordBatchReader, fault: Fault) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(rows):
            if number == 1:
                strike(fault)
            yield batch

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def _strike_at_another(fault: Fault, files: Callable[[], set[Path]], known: set[Path]) -> None:
    while files() <= known:
        time.sleep(0.001)
    strike(fault)


def commits(table: Path) -> set[Path]:
    """The files of the table's log that are commits."""
    return set(table.glob("_delta_log/*.json"))


def data_files(table: Path) -> set[Path]:
    """The table's data files, those of its change feed too, whether a version names them or not."""
    return {file for file in table.rglob("*.parquet") if "_delta_log" not in file.parts}


_FILES = {"at_commit": commits, "at_file": data_files}


def take_all_rows_for_many() -> None:
    """Whatever few rows are: no change is one of them from now on."""
    import music_lakehouse.definitions  # noqa: F401

    for name, module in list(sys.modules.items()):
        if name.startswith("music_lakehouse."):
            for limit in FEW:
                if hasattr(module, limit):
                    setattr(module, limit, 0)


def strike(fault: Fault) -> None:
    """Let the fault happen now."""
    if fault.victim == "nobody":
        assert fault.gate is not None, "a run that waits needs a gate"
        gate = Path(fault.gate)
        gate.touch()
        parent = os.getppid()
        while gate.exists() and os.getppid() == parent:
            time.sleep(0.05)
    elif fault.victim == "jvm":
        for child in spark_children():
            child.kill()
    elif fault.victim == "python":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        os.killpg(0, signal.SIGKILL)


def main(report: Path, job: str, tables: list[str]) -> int:
    from music_lakehouse.defs import shell
    from music_lakehouse.lakehouse import query
    from music_lakehouse.resources.build import build_resources
    from music_lakehouse.settings import Settings
    from music_lakehouse_tests.few_rows import QUICK_JAVA

    shell.FIRST_RETRY_SECONDS = 1.0
    shell.MOST_RETRIES = int(os.environ.get("MOST_RETRIES", shell.MOST_RETRIES))
    if FAULT_VARIABLE in os.environ:
        fault = Fault(**json.loads(os.environ[FAULT_VARIABLE]))
        if fault.many:
            take_all_rows_for_many()
        if fault.long:
            query.MOST_ROWS_MADE_HERE, query.MOST_ROWS_OF_A_BATCH = 0, DUCKDBS_VECTOR
        if fault.in_order:
            shell.MOST_AT_ONCE = shell.MOST_LARGE_AT_ONCE = 1
        install(fault, Path(Settings().lake_uri))
    resources = build_resources(Settings())
    spark = resources["spark"].model_copy(update={"spark_config": QUICK_JAVA})
    resources |= {"spark": spark, "lakehouse": resources["lakehouse"].model_copy(update={"spark": spark})}
    if "LOCK_WAIT_SECONDS" in os.environ:
        wait = float(os.environ["LOCK_WAIT_SECONDS"])
        resources["lakehouse"] = resources["lakehouse"].model_copy(update={"lock_wait_seconds": wait})
    result = execute(resources, job, tables)
    report.write_text(json.dumps(result))
    return 0 if result["success"] else 1


def execute(resources: dict[str, Any], job: str, tables: Sequence[str] = ()) -> dict[str, Any]:
    """Run the job, or only these listening tables, in this process. Out: whether it succeeded, its failed steps'
    errors, the errors after which a step was tried again, and what was wrong with reference files."""
    import dagster as dg

    from music_lakehouse.definitions import defs
    from music_lakehouse.defs.listening.assets import ASSETS

    with dg.DagsterInstance.ephemeral() as instance:
        if tables:
            keys = [dg.AssetKey(table.split(".")) for table in tables]
            result = dg.materialize(
                ASSETS, selection=keys, resources=resources, instance=instance, raise_on_error=False
            )
        else:
            result = defs.resolve_job_def(job).execute_in_process(
                resources=resources, instance=instance, raise_on_error=False
            )
    return {
        "success": result.success,
        "errors": [_own_error(e.step_failure_data.error) for e in result.all_events if e.is_step_failure],
        "retries": [_own_error(e.step_retry_data.error) for e in result.all_events if e.is_step_up_for_retry],
        "warnings": [
            str(check.metadata["problems"].value)
            for check in result.get_asset_check_evaluations()
            if "problems" in check.metadata and not check.passed
        ],
    }


def _own_error(error: Any) -> str:
    """The text of the error that the step raised, without Dagster's wrapping."""
    while error.cause is not None and error.cls_name in ("DagsterExecutionStepExecutionError", "RetryRequested"):
        error = error.cause
    return str(error.message).strip()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
