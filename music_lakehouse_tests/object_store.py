"""An S3-compatible object store for tests: moto's server, in a process of its own (delta-rs keeps Python's lock while
it waits for an answer)."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid

import requests

from music_lakehouse.simulator.broker import free_port

_STARTED_WITHIN_SECONDS = 60


class ObjectStore:
    """A server on a port of its own that takes any credentials."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _STARTED_WITHIN_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"the object store at {self.url} doesn't answer")
            time.sleep(0.1)

    @property
    def settings(self) -> dict[str, str]:
        """The variables with which delta-rs and Arrow find it."""
        return {
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def new_bucket(self) -> str:
        """The name of an empty bucket that no other test uses."""
        name = f"lake-{uuid.uuid4().hex[:8]}"
        requests.put(f"{self.url}/{name}", timeout=10).raise_for_status()
        return name

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=5).ok
        except requests.ConnectionError:
            return False
