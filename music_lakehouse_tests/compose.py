"""docker-compose.yml as it reads with given variables, and its services as processes of this machine."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
IMAGE = "music-lakehouse"
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:?[-?])([^}]*))?\}")
STOP_SECONDS = 30


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables replaced. Raises ValueError with the file's own words where one is needed that isn't
    given."""
    found: dict[str, Any] = _replaced(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text()), variables)
    return found


def image_environment() -> dict[str, str]:
    """What the Dockerfile puts into the environment."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", text, re.MULTILINE))))


def _replaced(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, variables) for one in value]
    if not isinstance(value, str):
        return value

    def given(match: re.Match[str]) -> str:
        name, how, words = match[1], match[2] or "", match[3] or ""
        here = variables.get(name)
        if here is None or (how.startswith(":") and not here):
            if how.endswith("?"):
                raise ValueError(f"{name} {words}")
            return words if how.endswith("-") else ""
        return here

    return _VARIABLE.sub(given, value)


class LocalServices:
    """Services of the file that run the project's own image, as processes: their commands, their environment and their
    health checks as they stand in the file, but for `places`: what stands there, and what is in its stead here."""

    def __init__(self, directory: Path, variables: Mapping[str, str], places: Mapping[str, str]) -> None:
        self._directory = directory
        self._services = read_compose(variables)["services"]
        self._places = sorted(places.items(), key=lambda place: -len(place[0]))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def here(self, text: str) -> str:
        """The text with the file's places replaced by those of this machine; all at once, longest first."""
        pattern = "|".join(re.escape(old) for old, _ in self._places)
        return re.sub(pattern, lambda match: dict(self._places)[match[0]], text)

    def environment(self, name: str) -> dict[str, str]:
        given = {**image_environment(), **self._services[name].get("environment", {})}
        # As in the image: nothing of this machine but where its programs are.
        kept = {key: os.environ[key] for key in ("HOME", "JAVA_HOME", "TMPDIR") if key in os.environ}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, **{key: self.here(str(value)) for key, value in given.items()}}

    def start(self, name: str, *, seconds: float = 120) -> None:
        """Start the service, and return once its health check passes. Fails where it ends, or isn't well in time."""
        service = self._services[name]
        assert service["image"] == IMAGE
        with self.log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                shlex.split(self.here(service["command"])),
                cwd=self._directory,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while not self.is_well(name):
            assert self._running[name].poll() is None, f"{name} ended: {self.end_of_log(name)}"
            assert time.monotonic() < deadline, f"{name} isn't well after {seconds} s: {self.end_of_log(name)}"
            time.sleep(0.5)

    def execute(self, name: str, *command: str) -> str:
        """What the command says, run beside the service, as `docker compose exec` does. Fails where it fails."""
        done = subprocess.run(
            command,
            cwd=self._directory,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-4000:]}"
        return done.stdout

    def is_well(self, name: str) -> bool:
        """Whether the service's own health check passes."""
        kind, *command = self._services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        try:
            self.execute(name, *(self.here(part) for part in command))
        except AssertionError:
            return False
        return True

    def log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def end_of_log(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")[-4000:]

    def stop(self, *names: str) -> None:
        """End these services, or all, the last one first: by SIGTERM, as Docker does, then by SIGKILL."""
        for name in names or reversed(tuple(self._running)):
            process = self._running.pop(name)
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
