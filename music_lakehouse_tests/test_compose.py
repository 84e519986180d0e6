"""docker-compose.yml, Dockerfile and docker/, as far as they can be checked without a Docker engine."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import yaml
from dagster._core.instance.ref import InstanceRef

from music_lakehouse.cli.dev import dev
from music_lakehouse.cli.up import up
from music_lakehouse.jars import TESTED_JAVA
from music_lakehouse.settings import Settings
from music_lakehouse_tests.compose import IMAGE, REPOSITORY, image_environment, read_compose
from music_lakehouse_tests.postgres import new_postgres

pytestmark = pytest.mark.thorough

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == IMAGE]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
ENVIRONMENT = image_environment()
# Java's own programs and Python's need no help of theirs to be asked for.
PROFILES = sorted({profile for service in SERVICES.values() for profile in service.get("profiles", [])})
WITH_HELP = [name for name in OURS if not SERVICES[name]["command"].startswith("spark-class")]


@pytest.mark.parametrize("name", WITH_HELP)
def test_a_services_command_exists_and_knows_its_options(name: str) -> None:
    program, *arguments = shlex.split(SERVICES[name]["command"])
    options = [argument for argument in arguments if argument.startswith("--")]
    subcommands = arguments[: arguments.index(options[0])]

    shown = subprocess.run(
        [Path(sys.executable).with_name(program), *subcommands, "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert [option for option in options if not re.search(rf"{option}\b", shown)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_and_a_memory_limit_and_listens_on_the_loopback_only(name: str) -> None:
    service = SERVICES[name]

    assert service["healthcheck"]["test"]
    assert service["mem_limit"]
    assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    for other, needed in service.get("depends_on", {}).items():
        assert needed == {"condition": "service_healthy"}
        assert other in SERVICES
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or (REPOSITORY / source).is_file()


def test_no_password_is_written_down() -> None:
    for service in SERVICES.values():
        for variable, value in service["environment"].items():
            if "PASSWORD" in variable or "URL" in variable:
                assert re.fullmatch(r"\$\{\w+:[?-].*\}", value), f"{variable} has to come from .env"
                assert ":-" not in value or value.endswith(":-}"), f"{variable} has a default"
    assert "\nPOSTGRES_PASSWORD=\n" in (REPOSITORY / ".env.example").read_text()


def test_without_the_password_that_it_needs_it_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"POSTGRES_PASSWORD .* put POSTGRES_PASSWORD=\.\.\. into \.env"):
        read_compose({"POSTGRES_PASSWORD": ""})


def test_every_variable_that_it_takes_is_in_the_example() -> None:
    example = (REPOSITORY / ".env.example").read_text()
    taken = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "docker-compose.yml").read_text()))

    assert len(taken) > 10
    assert {name for name in taken if not re.search(rf"^(# )?{name}=", example, re.MULTILINE)} == set()


@pytest.mark.skipif(
    shutil.which("docker-compose") is None and not os.environ.get("GITHUB_ACTIONS"),
    reason="docker-compose is not installed",
)
def test_a_compose_parser_reads_it_as_we_do(tmp_path: Path) -> None:
    variables = {"POSTGRES_PASSWORD": "secret", "AWS_SECRET_ACCESS_KEY": "other"}
    (tmp_path / "none.env").write_text("")
    # Debian's docker-compose is older than the project's name in the file.
    unnamed = re.sub(r"^name: .*\n", "", (REPOSITORY / "docker-compose.yml").read_text(), flags=re.MULTILINE)
    (tmp_path / "docker-compose.yml").write_text(unnamed)
    command = ["docker-compose", "--env-file", str(tmp_path / "none.env"), "--project-directory", str(REPOSITORY)]
    command += ["--file", str(tmp_path / "docker-compose.yml")]
    profiles = [part for name in PROFILES for part in ("--profile", name)]
    parsed = subprocess.run(
        [*command, *profiles, "config"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert parsed.returncode == 0, parsed.stderr
    theirs, ours = yaml.safe_load(parsed.stdout)["services"], read_compose(variables)["services"]
    assert set(theirs) == set(ours)
    for name, service in ours.items():
        assert _words(theirs[name].get("command")) == _words(service.get("command"))
        assert {key: str(value) for key, value in theirs[name]["environment"].items()} == service["environment"]


def _words(command: str | list[str] | None) -> list[str]:
    """A command, which newer parsers take apart, older ones not."""
    return shlex.split(command) if isinstance(command, str) else command or []


def test_what_is_not_always_wanted_is_in_a_profile_that_the_file_explains() -> None:
    with_profile = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    head = (REPOSITORY / "docker-compose.yml").read_text().partition("\nx-")[0]

    assert with_profile == {
        "spark-master": ["workers"],
        "spark-worker": ["workers"],
        "minio": ["s3"],
        "read-only-webserver": ["readers"],
        "simulator": ["simulator"],
    }
    for profile in PROFILES:
        assert f"#   {profile} " in head
    for name, service in SERVICES.items():
        for other in service.get("depends_on", {}):
            wanted = set(SERVICES[other].get("profiles", []))
            assert not wanted or wanted == set(with_profile.get(name, [])), f"{name} needs {other}, which may not run"


def test_the_ports_that_services_call_each_other_by_are_those_that_they_listen_on() -> None:
    kafka = SERVICES["kafka"]["environment"]
    [server] = yaml.safe_load((REPOSITORY / "docker/workspace.yaml").read_text())["load_from"]

    assert (
        f"INTERNAL://{SERVICES['code']['environment']['KAFKA_BOOTSTRAP_SERVERS']},"
        in (kafka["KAFKA_ADVERTISED_LISTENERS"])
    )
    assert server["grpc_server"]["host"] in SERVICES
    assert f"--port {server['grpc_server']['port']} " in SERVICES["code"]["command"]
    code = SERVICES["code"]["environment"]
    assert code["POSTGRES_HOST"] in SERVICES
    assert f"--host spark --port {code['SPARK_REMOTE'].rpartition(':')[2]}" in SERVICES["spark"]["command"]
    assert "CREATE DATABASE catalogue;" in (REPOSITORY / "docker/catalogue.sql").read_text()
    assert "--host spark-master --port 7077" in SERVICES["spark-master"]["command"]
    assert SERVICES["spark-worker"]["command"].endswith("spark://spark-master:7077")


def test_the_proxy_sends_writers_to_what_is_started_by_default_and_readers_to_what_changes_nothing() -> None:
    proxy = (REPOSITORY / "docker/nginx.conf").read_text()
    behind = dict(re.findall(r"/(\w+)\.htpasswd;.*?proxy_pass http://127\.0\.0\.1:(\d+);", proxy, re.DOTALL))
    published = {
        name: service["ports"][0].split(":")[1]
        for name, service in read_compose({"POSTGRES_PASSWORD": "secret"})["services"].items()
        if "webserver" in name
    }
    docs = (REPOSITORY / "docs/operations.md").read_text()

    assert behind == {"writers": published["webserver"], "users": published["read-only-webserver"]}
    assert {"--read-only" in SERVICES[name]["command"] for name in ("webserver", "daemon")} == {False}
    assert " --read-only " in SERVICES["read-only-webserver"]["command"]
    assert f"dagster-webserver --read-only --port {behind['users']} " in docs
    for command in (up, dev):
        assert behind["writers"] == str(inspect.signature(command).parameters["port"].default)


def test_the_volumes_that_the_docs_name_are_the_projects() -> None:
    docs = (REPOSITORY / "docs/operations.md").read_text()
    named = set(re.findall(r"--volume ([\w-]+):|volume rm ([\w-]+) ([\w-]+)|`(music-lakehouse_\w+)`", docs))
    names = {name for groups in named for name in groups if name}

    assert {"music-lakehouse_lake", "music-lakehouse_postgres"} <= names
    assert names <= {f"{COMPOSE['name']}_{volume}" for volume in COMPOSE["volumes"]}


def test_the_backup_that_the_docs_tell_of_brings_back_every_database(tmp_path: Path) -> None:
    docs = (REPOSITORY / "docs/operations.md").read_text()
    dump, restore = re.findall(r"^docker compose exec -T postgres (.* --username dagster\b.*)$", docs, re.MULTILINE)
    names = ("dagster", "catalogue")

    with new_postgres() as before:
        for name in names:
            before.execute(f"CREATE DATABASE {name}")
            before.execute(f"\\connect {name}\nCREATE TABLE kept AS SELECT '{name} has it' AS word")
        before.shell(dump.replace("--username dagster", "--username postgres"), tmp_path)
    with new_postgres() as after:
        # As the container makes them in an empty volume.
        after.execute(f"CREATE DATABASE dagster; {(REPOSITORY / 'docker/catalogue.sql').read_text()}")
        after.shell(restore.replace("--username dagster", "--username postgres"), tmp_path)
        for name in names:
            assert f"{name} has it" in after.execute(f"\\connect {name}\nSELECT word FROM kept")


def test_whoever_reads_or_writes_the_lake_has_it_at_the_same_place() -> None:
    for name in ("code", "spark", "spark-worker", "simulator"):
        assert "lake:/data/lake" in SERVICES[name]["volumes"]


def test_the_instance_is_that_of_the_project_with_its_storage_in_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    project = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    for of_one_machine in ("run_launcher", "event_log_storage"):
        del project[of_one_machine]
    compose = yaml.safe_load((REPOSITORY / "docker/dagster.yaml").read_text())
    given = {**ENVIRONMENT, **SERVICES["webserver"]["environment"]}
    wanted = set(re.findall(r"\{env: (\w+)\}", (REPOSITORY / "docker/dagster.yaml").read_text()))

    assert wanted <= set(given)
    assert {name: compose[name] for name in compose if name not in ("storage", "compute_logs")} == project
    for name in wanted:
        monkeypatch.setenv(name, "5432" if name == "POSTGRES_PORT" else given[name])
    storage = InstanceRef.from_dir(str(REPOSITORY / "docker")).storage_data
    assert storage is not None
    assert storage.class_name == "DagsterPostgresStorage"
    # Looks for the scheme's driver, and doesn't connect.
    sqlalchemy.create_engine(f"{compose['storage']['postgres']['postgres_db']['scheme']}://postgres/dagster")


def test_the_image_takes_files_that_exist_and_that_dockerignore_lets_through() -> None:
    let_through = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = [source for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]]
    sources = [source for source in copied if not source.startswith("--")]

    assert len(sources) > 6
    for source in sources:
        assert (REPOSITORY / source).exists()
        assert source.split("/")[0] in let_through


def test_the_image_has_a_tested_java_an_allowed_python_and_no_root() -> None:
    java = re.search(r"openjdk-(\d+)-jre-headless", DOCKERFILE)
    python = re.search(r"^FROM python:3\.(\d+)-", DOCKERFILE, re.MULTILINE)
    user = re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)

    assert java is not None
    assert int(java[1]) in TESTED_JAVA
    assert python is not None
    assert 10 <= int(python[1]) <= 13
    assert user == ["lakehouse"]


def test_what_the_code_location_writes_is_in_a_volume() -> None:
    mounts = [volume.split(":")[1] for volume in SERVICES["code"]["volumes"]]
    places = [ENVIRONMENT[name] for name in ("LAKEHOUSE_ROOT", "REFERENCE_ROOT", "LANDING_ROOT", "DAGSTER_LOGS")]

    assert all(any(f"{place}/".startswith(f"{mount}/") for mount in mounts) for place in places)
    assert {name.lower() for name in ENVIRONMENT if name.endswith("_ROOT")} <= set(Settings.model_fields)
