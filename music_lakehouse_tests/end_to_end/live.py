"""Dagster as a user runs it: its commands as processes, and its GraphQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import requests

from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import free_port

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STOP_SECONDS = 30
T = TypeVar("T")


def environment(settings: Settings, home: Path, **more: str) -> dict[str, str]:
    """The environment of a Dagster instance in `home`, with the project's dagster.yaml, on the settings' lake."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROJECT / "dagster.yaml", home / "dagster.yaml")
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "LAKEHOUSE_ROOT": settings.lakehouse_root,
        "REFERENCE_ROOT": str(settings.reference_root),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix,
        "SPARK_MASTER": "local[2]",
        "NO_COLOR": "1",
        **more,
    }


def run_command(*command: str, env: dict[str, str]) -> str:
    """Run a command of the virtual environment in the project's directory; its output. Fails where it fails."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=PROJECT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


class LiveDagster:
    """Webserver, daemon and code server, started by `command` with a port of its own, stopped with all that they
    started."""

    def __init__(self, command: Sequence[str], env: dict[str, str], log: Path) -> None:
        self._command, self._env, self.log = command, env, log
        self._port = free_port()

    def __enter__(self) -> LiveDagster:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(BIN / self._command[0]), *self._command[1:], "--host", "127.0.0.1", "--port", str(self._port)],
                cwd=PROJECT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait_for(self._answers, seconds=120)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def query(self, text: str, **variables: Any) -> Any:
        """The data of a GraphQL query."""
        answer = requests.post(
            f"http://127.0.0.1:{self._port}/graphql", json={"query": text, "variables": variables}, timeout=60
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def wait_for(self, look: Callable[[], T | None], *, seconds: float = 300) -> T:
        """What `look` finds, once it finds something. Fails where Dagster ends, or finds nothing in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            assert self._process.poll() is None, f"{self._command} ended: {self._end_of_log()}"
            time.sleep(1)
        raise AssertionError(f"nothing after {seconds} s: {self._end_of_log()}")

    def launch(self, job: str) -> str:
        """Start a run of the job, as the UI does; its id."""
        data = self.query(
            """mutation ($job: String!) { launchRun(executionParams: {runConfigData: "{}", selector: {jobName: $job,
                repositoryName: "__repository__", repositoryLocationName: "music_lakehouse.definitions"}}) {
                __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
            job=job,
        )["launchRun"]
        assert data["__typename"] == "LaunchRunSuccess", data
        return str(data["run"]["runId"])

    def terminate(self, run_id: str) -> None:
        """Ask the run to end, as the button "Terminate" does."""
        data = self.query(
            """mutation ($runId: String!) { terminateRun(runId: $runId, terminatePolicy: SAFE_TERMINATE) {
                __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }""",
            runId=run_id,
        )["terminateRun"]
        assert data["__typename"] == "TerminateRunSuccess", data

    def status(self, run_id: str) -> str:
        """How the run stands: QUEUED, STARTED, CANCELING, SUCCESS, …"""
        data = self.query("query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
        return str(data["runOrError"]["status"])

    def backfill(self, asset: str, partitions: Sequence[str]) -> dict[str, Any]:
        """Materialize these partitions of the asset, as the UI does; the backfill with its runs, once it has ended."""
        launched = self.query(
            """mutation ($path: [String!]!, $partitions: [String!]!) { launchPartitionBackfill(backfillParams: {
                assetSelection: [{path: $path}], partitionNames: $partitions}) {
                __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            path=asset.split("/"),
            partitions=list(partitions),
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.query(
                """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
                    status numPartitions runs { runId status } } } }""",
                id=launched["backfillId"],
            )["partitionBackfillOrError"]
            return found if found["status"] in ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED") else None

        return self.wait_for(ended)

    def ended_run(self, number: int) -> dict[str, Any] | None:
        """The `number`th run of the pipeline that was requested (from 0), once it has ended."""
        data = self.query(
            """{ runsOrError(filter: {pipelineName: "streaming_pipeline"}) { ... on Runs { results {
                runId status tags { key value } assetMaterializations { assetKey { path } metadataEntries {
                    label ... on IntMetadataEntry { intValue } ... on JsonMetadataEntry { jsonString }
            } } } } } }"""
        )
        runs = list(reversed(data["runsOrError"]["results"]))
        if len(runs) <= number or runs[number]["status"] not in ("SUCCESS", "FAILURE", "CANCELED"):
            return None
        run: dict[str, Any] = runs[number]
        run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
        run["figures"] = {
            "/".join(event["assetKey"]["path"]): _values(event["metadataEntries"])
            for event in run["assetMaterializations"]
        }
        return run

    def checks(self, run_id: str, asset: str, *names: str) -> dict[str, dict[str, Any]]:
        """The checks of an asset as the run evaluated them, by name."""
        found = {}
        for name in names:
            data = self.query(
                """query ($path: [String!]!, $name: String!) {
                    assetCheckExecutions(assetKey: {path: $path}, checkName: $name, limit: 5) {
                        runId status evaluation { success severity metadataEntries { label
                            ... on IntMetadataEntry { intValue } } }
                } }""",
                path=asset.split("/"),
                name=name,
            )
            for execution in data["assetCheckExecutions"]:
                if execution["runId"] == run_id:
                    found[name] = {**execution["evaluation"], **_values(execution["evaluation"]["metadataEntries"])}
        return found

    def observation(self, asset: str) -> dict[str, Any] | None:
        """The metadata of the asset's last observation."""
        data = self.query(
            """query ($path: [String!]!) { assetOrError(assetKey: {path: $path}) { ... on Asset {
                assetObservations(limit: 1) { metadataEntries { label
                    ... on IntMetadataEntry { intValue } ... on JsonMetadataEntry { jsonString } } } } } }""",
            path=asset.split("/"),
        )
        observations = data["assetOrError"].get("assetObservations", [])
        return _values(observations[0]["metadataEntries"]) if observations else None

    def last_skip(self, sensor: str) -> str | None:
        """Why the sensor's last tick requested nothing."""
        data = self.query(
            """query ($name: String!) { sensorOrError(sensorSelector: {sensorName: $name,
                repositoryName: "__repository__", repositoryLocationName: "music_lakehouse.definitions"}) {
                ... on Sensor { sensorState { ticks(limit: 1) { skipReason } } } } }""",
            name=sensor,
        )
        ticks = data["sensorOrError"]["sensorState"]["ticks"]
        return ticks[0]["skipReason"] if ticks else None

    def _answers(self) -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{self._port}/server_info", timeout=60).ok
        return False

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def _stop(self) -> None:
        """Ctrl-C first, as a user would; then whatever is left of the process group."""
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _values(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whole numbers and JSON among metadata entries, by label."""
    numbers = {entry["label"]: entry["intValue"] for entry in entries if "intValue" in entry}
    return numbers | {entry["label"]: json.loads(entry["jsonString"]) for entry in entries if "jsonString" in entry}
