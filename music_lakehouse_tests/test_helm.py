"""deploy/helm-values.yaml, as far as it can be checked without Kubernetes: what it says exists in chart and project."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import QueuedRunCoordinator

from music_lakehouse.settings import Settings

REPOSITORY = Path(__file__).parents[1]
FILE = REPOSITORY / "deploy/helm-values.yaml"
VALUES: dict[str, Any] = yaml.safe_load(FILE.read_text())
[CODE] = VALUES["dagster-user-deployments"]["deployments"]
MOUNTS = {mount["name"]: mount for mount in CODE["volumeMounts"]}
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()

FREE = None
"""Names that are the user's or Kubernetes's."""
# What the schema of Dagster's chart allows, of the parts that are used.
CHART: dict[str, Any] = {
    "global": dict.fromkeys(["postgresqlSecretName", "dagsterHome", "serviceAccountName", "dagsterInstanceConfigMap"]),
    "dagster-user-deployments": {
        "enabled": FREE,
        "enableSubchart": FREE,
        "imagePullSecrets": FREE,
        "deployments": {
            "name": FREE,
            "image": dict.fromkeys(["repository", "tag", "pullPolicy"]),
            **dict.fromkeys(["dagsterApiGrpcArgs", "codeServerArgs", "port", "env", "envConfigMaps", "annotations"]),
            "envSecrets": {"name": FREE},
            "includeConfigInLaunchedRuns": {"enabled": FREE},
            **dict.fromkeys(["nodeSelector", "affinity", "tolerations", "podSecurityContext", "securityContext"]),
            "resources": dict.fromkeys(["limits", "requests"]),
            **dict.fromkeys(["livenessProbe", "readinessProbe", "startupProbe", "labels", "schedulerName"]),
            **dict.fromkeys(["volumeMounts", "volumes"]),
        },
    },
    "runLauncher": {"type": FREE, "config": {"customRunLauncher": dict.fromkeys(["module", "class", "config"])}},
    "dagsterDaemon": {
        "enabled": FREE,
        "runCoordinator": dict.fromkeys(["enabled", "type", "config"]),
        "runMonitoring": dict.fromkeys(
            [
                *("enabled", "startTimeoutSeconds", "cancelTimeoutSeconds", "maxResumeRunAttempts"),
                *("pollIntervalSeconds", "freeSlotsAfterRunEndSeconds"),
            ]
        ),
    },
    "postgresql": {
        **dict.fromkeys(["enabled", "postgresqlHost", "postgresqlUsername", "postgresqlPassword"]),
        **dict.fromkeys(["postgresqlDatabase", "postgresqlParams", "postgresqlScheme", "service"]),
    },
    "generatePostgresqlPasswordSecret": FREE,
    "additionalInstanceConfig": FREE,
}


def unknown(values: Any, known: dict[str, Any] | None, path: str = "") -> list[str]:
    """The paths of keys that the chart doesn't have."""
    if known is FREE:
        return []
    if isinstance(values, list):
        return [found for one in values for found in unknown(one, known, path)]
    if not isinstance(values, dict):
        return [path]
    found = [f"{path}.{key}" for key in values if key not in known]
    for key in values.keys() & known.keys():
        found += unknown(values[key], known[key], f"{path}.{key}")
    return sorted(found)


def test_every_key_is_one_of_the_charts() -> None:
    assert unknown(VALUES, CHART) == []


def test_a_key_that_the_chart_lacks_is_found() -> None:
    wrong = {**VALUES, "runLaunchers": 1, "postgresql": {"host": 1}, "runLauncher": {"type": "x", "config": 1}}
    assert unknown(wrong, CHART) == [".postgresql.host", ".runLauncher.config", ".runLaunchers"]


def test_the_chart_is_of_the_version_of_dagster_that_is_installed() -> None:
    assert f"--version {version('dagster')} " in FILE.read_text()


def test_every_variable_is_a_setting_and_no_secret_is_written_down() -> None:
    own = {name for name in CODE["env"] if not name.startswith("AWS_")} - {"SPARK_DRIVER_MEMORY"}
    assert {name.lower() for name in own} <= set(Settings.model_fields)
    assert not [name for name in CODE["env"] if "PASSWORD" in name or "SECRET" in name or "KEY" in name]
    assert "postgresqlPassword" not in VALUES["postgresql"]


@pytest.mark.thorough
def test_the_code_location_starts_by_options_that_exist() -> None:
    command = [str(Path(sys.executable).with_name("dagster")), "api", "grpc", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = [argument for argument in CODE["dagsterApiGrpcArgs"] if argument.startswith("-")]
    assert options
    assert [option for option in options if option not in shown] == []


@pytest.mark.thorough
def test_runs_take_place_where_the_lakes_lock_lies_and_wait_for_each_other(tmp_path: Path) -> None:
    launcher = VALUES["runLauncher"]["config"]["customRunLauncher"]
    instance = {
        "run_launcher": {**launcher},
        "run_monitoring": {
            "enabled": VALUES["dagsterDaemon"]["runMonitoring"]["enabled"],
            "max_resume_run_attempts": VALUES["dagsterDaemon"]["runMonitoring"]["maxResumeRunAttempts"],
        },
        **VALUES["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance))

    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        assert isinstance(opened.run_launcher, dg.DefaultRunLauncher)
        assert isinstance(opened.run_coordinator, QueuedRunCoordinator)
        queue = opened.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 1
        assert opened.run_monitoring_enabled
        assert opened.global_op_concurrency_default_limit == 1
    project = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    assert VALUES["additionalInstanceConfig"]["concurrency"]["pools"] == project["concurrency"]["pools"]


@pytest.mark.parametrize("place", ["REFERENCE_ROOT", "LANDING_ROOT"])
def test_files_lie_in_a_volume(place: str) -> None:
    assert CODE["env"][place].startswith(f"{MOUNTS['files']['mountPath']}/")
    assert {volume["name"] for volume in CODE["volumes"]} == set(MOUNTS)


def test_the_images_user_may_write_to_a_new_volume_and_beside_the_instances_file() -> None:
    [user] = re.findall(r"useradd .*--uid (\d+) lakehouse", DOCKERFILE)
    [directories] = re.findall(r"mkdir -p (.+) && chown -R lakehouse /data", DOCKERFILE)

    assert CODE["podSecurityContext"] == {"fsGroup": int(user)}
    assert VALUES["global"]["dagsterHome"] in directories.split()


def test_what_is_typed_in_the_pod_has_the_instance_of_the_others() -> None:
    [release] = re.findall(r"helm upgrade --install (\w+) dagster/dagster ", FILE.read_text())
    [volume] = [one for one in CODE["volumes"] if one["name"] == "instance"]

    # As the chart names what it makes where the release is called like the chart.
    assert volume["configMap"] == {"name": f"{release}-instance"}
    assert MOUNTS["instance"]["mountPath"] == f"{VALUES['global']['dagsterHome']}/dagster.yaml"
    assert MOUNTS["instance"]["subPath"] == "dagster.yaml"
    deployment = f"deploy/{release}-dagster-user-deployments-{CODE['name']} "
    assert deployment in (REPOSITORY / "docs/beyond_one_machine.md").read_text()
